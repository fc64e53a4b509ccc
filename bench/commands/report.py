"""`bench report`: a run folder analysed again, shown, and made into a page."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.console import short
from bench.commands.figures import write, write_figures
from bench.commands.showing import analysed, show_analysis, show_capacity_of
from bench.errors import MachineError, UserError

if TYPE_CHECKING:
    from bench.report.figures.figure import Figure
    from bench.results import RunFolder


@click.command()
@click.argument("run")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where to write the page; without, report.html in RUN's folder.")  # fmt: skip
@click.option("--figures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write each figure into DIR as well, as SVG and PNG.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True,
              help="Print the whole analysis as JSON, and nothing else; make no page.")  # fmt: skip
@click.pass_obj
def report(results: Path, run: str, html: Path | None, figures: Path | None, as_json: bool) -> None:
    """Analyse RUN's folder again, show the result, and write it as one HTML page.

    RUN is a folder, a name under results/ or the beginning of one, or `latest`.
    The page asks nothing of the network and can be sent to anybody.

    \b
    Example:
      bench report latest
      bench report latest --html lunch.html --figures figures/
      bench report latest --json | jq .headlines
    """
    from bench.results import find

    folder = find(results, run)
    if folder.manifest().kind == "capacity":
        if as_json:
            raise UserError(
                "--json: a search's figures are in its folder, in capacity.csv and capacity_trials.csv"
            )
        with _drawing_script() as script:
            answers, figure = show_capacity_of(folder), _load_figure(folder)
            from bench.report.page.search import search_document

            trials = folder.capacity_trials()
            page = search_document(folder.manifest(), folder.plan(), answers, trials, figure, script())
        _keep(folder, page, html)
        if figures is not None:
            write_figures([figure], figures)
        return
    if as_json:
        from bench.report.machine import to_json

        click.echo(to_json(analysed(folder)[0]), nl=False)
        return
    with _drawing_script() as script:
        analysis, evidence = analysed(folder)
        from bench.report.figures.drawing import drawing
        from bench.report.page.document import document

        drawn = drawing(analysis, evidence)
        page = document(analysis, evidence, drawn, script())
    show_analysis(analysis, evidence, folder)
    _keep(folder, page, html)
    if figures is not None:
        write_figures(drawn.figures, figures)


def _keep(folder: "RunFolder", page: str, html: Path | None) -> None:
    """Write the page where it is asked for, or into the run's folder, and say where."""
    if html is None:
        html = folder.write_report(page)
    else:
        write(html, page.encode())
    click.echo(f"page: {short(html)}")


@contextmanager
def _drawing_script() -> Iterator[Callable[[], str]]:
    """The page's JavaScript, made beside: it takes as long as the analysis, and 200 MB that end with it."""
    import subprocess

    from bench.children import die_with_parent

    command = (sys.executable, "-m", "bench.report.figures.static")
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent(None)) as child:  # noqa: PLW1509

        def made() -> str:
            out, _ = child.communicate()
            if child.returncode:
                raise MachineError("vl-convert-python: failed: install it anew from requirements.txt")
            return out.decode()

        try:
            yield made
        finally:
            child.kill()


def _load_figure(folder: "RunFolder") -> "Figure | None":
    from bench.report.figures.load import against_load, of_search

    return against_load(
        of_search(folder.capacity_trials()), "Each point is one trial of the search for capacity."
    )

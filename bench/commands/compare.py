"""`bench compare`: runs side by side."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.console import console_of
from bench.commands.figures import write_figures

if TYPE_CHECKING:
    from bench.analysis.comparison import Comparison
    from bench.report.figures.figure import Figure

EXIT_CODES: Mapping[str, int] = {
    "better": 0,
    "equivalent": 0,
    "worse": 3,
    "inconclusive": 4,
    "descriptive only": 5,
    "no figure": 5,
}
GRAVEST_FIRST = (3, 4, 5, 0)


@click.command()
@click.argument("baseline")
@click.argument("contenders", nargs=-1, required=True, metavar="CONTENDER...")
@click.option("--format", "form", type=click.Choice(["terminal", "markdown", "json", "csv"]),
              default="terminal", show_default=True, help="What to print.")  # fmt: skip
@click.option("--between", type=click.Choice(["plan", "version", "deployment", "host"]), multiple=True,
              help="What the comparison is about, and so may differ; may be given again.")  # fmt: skip
@click.option("--phase", default=None, metavar="NAME",
              help="The stage to compare. Default: the first steady one.")  # fmt: skip
@click.option("--noise", multiple=True, metavar="RUN",
              help="A further run of BASELINE's system, for the margin; may be given again.")  # fmt: skip
@click.option("--figures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Draw the sides over each other, into DIR, as SVG and PNG.")  # fmt: skip
@click.option("--force", is_flag=True, help="Compare runs that differ in more than their figures.")
@click.pass_obj
def compare(
    results: Path,
    baseline: str,
    contenders: tuple[str, ...],
    form: str,
    between: tuple[str, ...],
    phase: str | None,
    noise: tuple[str, ...],
    figures: Path | None,
    force: bool,
) -> None:
    """Set each CONTENDER beside BASELINE, figure by figure, with a verdict.

    A side is a run (a folder, a name under results/ or the beginning of one, `latest`), one generation of
    it (RUN:monolith), a CSV file, or a folder of them.

    Exit codes: 0 better or equivalent, 3 worse, 4 inconclusive, 5 too little to say; 2 for what cannot be
    compared. Of several contenders the gravest: 3, 4, 5, 0.

    \b
    Example:
      bench compare 20260102-0304 latest
      bench compare 20260102-0304 latest --between version --format markdown
      bench compare latest:monolith latest:sharded --figures figures/
      bench compare old/summary.csv new/summary.csv
    """
    from bench.analysis.comparability import DIMENSIONS
    from bench.analysis.comparison import compare as set_beside
    from bench.sides import read_side

    named = [one for one in DIMENSIONS if one in between]
    one = read_side(results, baseline)
    others = [read_side(results, text) for text in contenders]
    more = [read_side(results, text) for text in noise]
    comparisons = [
        set_beside(one, other, between=named, force=force, phase=phase, noise=more) for other in others
    ]
    drawn = _drawn(results, [baseline, *contenders], comparisons) if figures is not None else []
    _show(comparisons, form)
    if figures is not None:
        write_figures(drawn, figures)
    codes = {EXIT_CODES[comparison.word] for comparison in comparisons}
    sys.exit(next(code for code in GRAVEST_FIRST if code in codes))


def _drawn(results: Path, texts: Sequence[str], comparisons: "Sequence[Comparison]") -> "list[Figure]":
    """Of each two that were compared, their latencies by percentile and their course, one over the other."""
    from bench.report.figures.comparison import Side, overlaid_percentiles, overlaid_timeline
    from bench.sides import folder_of

    evidence = {folder.path.name: folder.evidence() for folder in (folder_of(results, t) for t in texts)}
    figures: list[Figure] = []
    for pair in (pair for comparison in comparisons for pair in comparison.pairs):
        compared = (pair.baseline, pair.contender)
        sides = [Side(one.label, evidence[one.run], one.generation) for one in compared]
        figures += [
            replace(figure, name=f"{len(figures) // 2 + 1}-{pair.contender.generation}-{figure.name}")
            for figure in (overlaid_percentiles(sides), overlaid_timeline(sides))
        ]
    return figures


def _show(comparisons: "Sequence[Comparison]", form: str) -> None:
    from bench.analysis.comparison_rows import comparison_rows
    from bench.records import ComparisonRow

    if form == "terminal":
        from bench.report.comparison import render_comparisons

        console_of().print(render_comparisons(comparisons), crop=False)
    elif form == "markdown":
        from bench.report.comparison import markdown

        click.echo(markdown(comparisons), nl=False)
    elif form == "csv":
        from bench.tables import to_csv

        click.echo(to_csv(ComparisonRow, comparison_rows(comparisons)), nl=False)
    else:
        from bench.report.comparison_json import as_json

        click.echo(as_json(comparisons), nl=False)

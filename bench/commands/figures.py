"""Writing figures into a folder, each as SVG and PNG."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.console import short
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.report.figures.figure import Figure


def write_figures(figures: "Sequence[Figure | None]", into: Path) -> None:
    """Write those that are given, with progress, and say where; raises UserError where that cannot be."""
    from bench.report.figures.static import drawn

    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{into}: {error.strerror}: expected a folder to write figures into") from error
    with click.progressbar(
        [one for one in figures if one is not None], label="figures", show_pos=True, file=sys.stderr
    ) as given:
        for figure in given:
            write(into / f"{figure.name}.svg", drawn(figure, "svg"))
            write(into / f"{figure.name}.png", drawn(figure, "png"))
    click.echo(f"figures: {short(into)}", err=True)


def write(path: Path, data: bytes) -> None:
    """Write the file; raises UserError where that cannot be."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: expected a file to write") from error

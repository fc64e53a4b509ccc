"""A table with its least widths where they fit, and with folding cells in a narrower terminal."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Roomy:
    """`build` makes the table, told whether 80 columns are there."""

    build: Callable[[bool], Table]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.build(options.max_width >= WIDTH)

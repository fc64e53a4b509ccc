"""A line that is never wrapped and never cut, such as a path, so that it can be copied."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment


class Whole:
    """The line; whoever prints it must say `crop=False`, or the console cuts it off."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self._text)
        yield Segment.line()

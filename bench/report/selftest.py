"""What `bench selftest` prints: each check as it is made, and a line at the end; 80 columns wide."""

import textwrap
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from bench.analysis.selftest import Check

WIDTH = 80
MARGIN = " " * 8


def show_check(check: Check) -> RenderableType:
    """One check: its name, and beneath it what was expected and what was got."""
    mark = Text("ok", style="green") if check.passed else Text("FAILED", style="bold red")
    name = Text.assemble(mark, " " * (len(MARGIN) - len(mark)), check.name)
    return Group(name, _folded("expected", check.expected), _folded("got", check.got))


def closing_line(checks: Sequence[Check], took_s: float) -> str:
    """How many of them passed."""
    passed = sum(check.passed for check in checks)
    return f"{passed} of {len(checks)} checks passed in {took_s:.0f} s"


def _folded(word: str, text: str) -> Text:
    """`text` beside its word, in lines that keep to its column."""
    first = f"{MARGIN}{word:<10}"
    return Text(textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first)))

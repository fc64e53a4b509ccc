"""Headings and paragraphs of a page for a terminal."""

import textwrap

from rich.text import Text

from bench.report.roomy import WIDTH


def section(text: str) -> Text:
    """A heading, with a line before it."""
    return Text(f"\n{text}", style="bold")


def item(text: str, indent: str = "  ", style: str = "") -> Text:
    """A paragraph below a heading."""
    # Wrapped here and not by rich, which would fill the lines with blanks.
    wrapped = textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
    return Text(wrapped, style=style)

"""Headings and paragraphs of a page for a terminal."""

import textwrap

from rich.text import Text

from bench.report.roomy import WIDTH


class Heading(Text):
    """A heading, with a line before it; `said` is its words alone."""

    def __init__(self, said: str) -> None:
        super().__init__(f"\n{said}", style="bold")
        self.said = said


class Sentence(Text):
    """A paragraph below a heading; `said` is its words, on one line."""

    def __init__(self, said: str, indent: str = "  ", style: str = "") -> None:
        # Wrapped here and not by rich, which would fill the lines with blanks.
        wrapped = textwrap.fill(said, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
        super().__init__(wrapped, style=style)
        self.said = said


def section(text: str) -> Text:
    """A heading."""
    return Heading(text)


def item(text: str, indent: str = "  ", style: str = "") -> Text:
    """A paragraph below a heading."""
    return Sentence(text, indent, style)

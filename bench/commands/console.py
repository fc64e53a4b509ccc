"""Where commands print, and how they name a path."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console_of() -> "Console":
    """The terminal as wide as it is; a pipe or a file as 80 columns."""
    from rich.console import Console

    console = Console(highlight=False)
    # 80 columns when piped, so that tables keep their shape in files and mails.
    return console if console.is_terminal else Console(highlight=False, width=80)


def short(path: Path) -> Path:
    """The path as a user here would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

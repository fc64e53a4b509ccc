"""What `bench list` and `bench doctor` print."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.errors import BenchError
from bench.generations import GENERATIONS
from bench.profile import load_profile
from bench.records import Finding
from bench.results import list_runs

_MARKS = {"well": ("✓", "green"), "poor": ("!", "yellow"), "missing": ("✗", "red")}


def show_profiles(folder: Path) -> RenderableType:
    """Every profile in `folder`, with its description, or what is wrong with it."""
    table = _table("profile", "what it does")
    for path in sorted(folder.glob("*.yaml")):
        try:
            table.add_row(f"profiles/{path.name}", load_profile(path).description)
        except BenchError as error:
            table.add_row(f"profiles/{path.name}", Text(str(error), style="red"))
    return Group(table, Text())


def show_generations() -> RenderableType:
    """Every generation with its nodes and their roles."""
    table = _table("generation", "year", "client", "nodes (role)")
    for generation in GENERATIONS.values():
        nodes = ", ".join(f"{node.name} ({node.role})" for node in generation.nodes)
        table.add_row(generation.name, str(generation.year), generation.client, nodes)
    return Group(table, Text())


def show_runs(root: Path) -> RenderableType:
    """Every run under `root`, oldest first."""
    table = _table("run", "status", "ended", "reached")
    for folder in list_runs(root):
        try:
            manifest = folder.manifest()
            table.add_row(folder.path.name, manifest.status, manifest.ended, manifest.reached)
        except BenchError as error:
            table.add_row(folder.path.name, "", "", Text(str(error), style="red"))
    return table if table.row_count else Text(f"no runs in {root} yet: bench run profiles/quick.yaml")


def show_findings(findings: Sequence[Finding]) -> RenderableType:
    """A line a finding; the last column is what to do."""
    table = _table("", "looked at", "found", "what mends it")
    for finding in findings:
        mark, style = _MARKS[finding.level]
        table.add_row(Text(mark, style=style), finding.name, finding.found, finding.mend)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

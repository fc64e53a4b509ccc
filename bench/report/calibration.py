"""What `bench calibrate` prints: a line a rate as it is tried, and a table at the end, 80 columns wide."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.verdict import CEILING_SHARE
from bench.calibration import Calibration, Rung
from bench.report.format import MISSING, number


def rung_line(client: str, rung: Rung) -> str:
    """One rate: how the generator fared."""
    lag = MISSING if rung.lag_p99_ms is None else f"{number(rung.lag_p99_ms)} ms"
    used = _percent(rung.generator_cpu_ratio)
    word = "held" if rung.held else f"gave out: {rung.why}"
    return f"{client:<9} {rung.rate_per_s:>8,.0f}/s  lag p99 {lag:>8}  CPU {used:>5}  {word}"


def show_calibrations(found: Sequence[Calibration]) -> RenderableType:
    """A row a protocol, and what the columns mean."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("protocol")
    for heading in ("ceiling\n1/s", "believed to\n1/s", "lag p99\nms", "CPU of\ngenerator", "CPU of\ntarget"):
        table.add_column(heading, justify="right")
    for one in found:
        held = one.held
        table.add_row(
            one.client,
            number(one.ceiling_per_s),
            number(CEILING_SHARE * one.ceiling_per_s),
            number(held.lag_p99_ms if held else None),
            _percent(held.generator_cpu_ratio if held else None),
            _percent(held.target_cpu_ratio if held else None),
        )
    notes: list[RenderableType] = [Text()]
    notes += [
        Text(f"{one.client} gave out at {one.failed.rate_per_s:,.0f}/s: {one.failed.why}")
        for one in found
        if one.failed is not None
    ]
    notes.append(
        Text(
            f"\nNo figure above {CEILING_SHARE * 100:.0f} % of the ceiling is believed. "
            "It holds for this machine,\nthese versions, and this source of the generator."
        )
    )
    if any(rung is not None and rung.disturbed for one in found for rung in (one.held, one.failed)):
        notes.append(
            Text(
                "Foreign processes had part of the machine, so only CPU was judged by, not lag:\n"
                "measure it again when it is quiet, with bench calibrate --again.",
                style="yellow",
            )
        )
    return Group(table, *notes)


def _percent(ratio: float | None) -> str:
    return MISSING if ratio is None else f"{ratio * 100:.0f} %"

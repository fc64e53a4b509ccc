"""Colours and type of all figures, light and dark: the palette of Okabe and Ito (2008), made for all eyes.

Its blue, vermilion and bluish green differ in lightness too, and no figure tells by colour alone: lines
have dashes, moments have names. On dark ground stand the palette's lighter colours of the same families.
"""

from dataclasses import dataclass
from typing import Any, Literal

Shade = Literal["light", "dark"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Palette:
    """`series` are of generations or sides in their order; `fault` shades, `mark` is of moments."""

    ground: str
    ink: str
    quiet: str
    grid: str
    series: tuple[str, ...]
    fault: str


LIGHT = Palette(
    ground="#ffffff",
    ink="#1b1f24",
    quiet="#5d6670",
    grid="#e6e9ec",
    series=("#0072B2", "#D55E00", "#009E73", "#B0568C", "#8A6D00", "#56B4E9", "#5d6670"),
    fault="#D55E00",
)
DARK = Palette(
    ground="#15181c",
    ink="#e8ebee",
    quiet="#9aa4ae",
    grid="#2a3037",
    series=("#56B4E9", "#E69F00", "#33C79B", "#E39AC4", "#F0E442", "#4C8FD6", "#9aa4ae"),
    fault="#E69F00",
)
PALETTES: dict[Shade, Palette] = {"light": LIGHT, "dark": DARK}


def config(shade: Shade) -> dict[str, Any]:
    """Vega-Lite's `config` in this shade: everything a specification leaves open."""
    palette = PALETTES[shade]
    first, second, third = palette.series[:3]
    text = {
        "labelColor": palette.quiet,
        "titleColor": palette.quiet,
        "labelFontSize": 11,
        "titleFontSize": 11,
    }
    return {
        "background": palette.ground,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "grid": True,
            "gridColor": palette.grid,
            "domainColor": palette.grid,
            "tickColor": palette.grid,
            "labelPadding": 6,
            "titlePadding": 8,
            "labelOverlap": True,
        },
        "axisX": {"grid": False, "domainColor": palette.quiet},
        "axisY": {"domain": False, "ticks": False, "minExtent": 52, "maxExtent": 52, "tickCount": 4},
        "legend": {
            **text,
            "orient": "top",
            "title": None,
            "symbolType": "stroke",
            "symbolStrokeWidth": 2.5,
            "symbolSize": 260,
            "labelColor": palette.ink,
            "labelLimit": 260,
        },
        "title": {
            "anchor": "start",
            "frame": "group",
            "color": palette.ink,
            "fontSize": 12,
            "fontWeight": 600,
            "offset": 10,
        },
        "header": {"labelColor": palette.ink, "labelFontSize": 12, "labelFontWeight": 600},
        "range": {"category": list(palette.series)},
        "style": {
            "offered": {"color": palette.quiet, "strokeWidth": 1.4, "strokeDash": [4, 3]},
            "goodput": {"color": first, "strokeWidth": 2},
            "goodput-range": {"color": first, "fillOpacity": 0.18},
            "p50": {"color": third, "strokeWidth": 1.6, "strokeDash": [6, 2]},
            "p95": {"color": first, "strokeWidth": 2},
            "p95-range": {"color": first, "fillOpacity": 0.18},
            "backlog": {"color": first, "strokeWidth": 2},
            "backlog-area": {"color": first, "fillOpacity": 0.15},
            "fault": {"color": palette.fault, "fillOpacity": 0.13},
            "injected": {"color": palette.fault, "strokeWidth": 1.6},
            "moment": {"color": palette.quiet, "strokeWidth": 1, "strokeDash": [2, 2]},
            "moment-name": {"color": palette.ink, "fontSize": 10.5},
            "moment-dot": {"color": palette.ink},
            "limit": {"color": second, "strokeWidth": 1, "strokeDash": [1, 3]},
            "limit-name": {"color": palette.quiet, "fontSize": 10.5},
            "stage": {"color": palette.grid, "strokeWidth": 1},
            "stage-name": {"color": palette.quiet, "fontSize": 10.5},
            "bar-name": {"color": palette.ink, "fontSize": 11},
            "trial": {"color": palette.quiet, "opacity": 0.55},
        },
    }

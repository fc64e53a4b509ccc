"""A figure as a file, SVG or PNG, in the light palette: for papers, slides and pull requests."""

import sys
from typing import Literal

from bench.report.figures.figure import Figure
from bench.report.figures.palette import config

VEGA_LITE = "6.4"
"""The version that figures are written for; the page has the same one."""
SNIPPET = "window.vegaEmbed = vegaEmbed;"
SCALE = 2.0
"""Pixels of a PNG for each of the figure's."""


def drawn(figure: Figure, form: Literal["svg", "png"]) -> bytes:
    """The figure's file, with its title; UTF-8 where it is SVG."""
    import vl_convert  # 130 MB of memory, and a second at its first drawing

    spec = {**figure.spec, "title": {"text": figure.title, "fontSize": 15, "offset": 14}, "padding": 12}
    if form == "png":
        return bytes(
            vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, config=config("light"), scale=SCALE)
        )
    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, config=config("light"))).encode()


def print_script() -> None:
    """What `python -m` with this module does: a process of its own leaves no memory behind."""
    sys.stdout.write(script())


def script() -> str:
    """The JavaScript that draws figures in a page: Vega-Embed and what it needs, in one piece of 0.9 MB."""
    import vl_convert

    return str(vl_convert.javascript_bundle(SNIPPET, VEGA_LITE))


if __name__ == "__main__":
    print_script()

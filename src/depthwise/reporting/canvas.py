"""A chart's paper: axes in the page's colours, SVG text that takes the page's font, labels' places.

matplotlib draws with stand-in colours (INK, FAINT, ...), which become CSS variables, so that one
drawing is legible on a light and on a dark page. Letters stay letters; element ids carry the
chart's name and no date is written, so that the same record gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Box", "as_svg", "new_axes", "place", "shortened", "write_name"]

INK, FAINT, ACCENT, LIMIT, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "ink", FAINT: "faint", ACCENT: "accent", LIMIT: "limit", PAPER: "paper"}
WIDTH, HEIGHT = 4.9, 3.3  # inches


def new_axes(x: str, y: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> Any:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(FAINT)
    axes.tick_params(which="both", colors=INK, length=3, color=FAINT)
    axes.grid(True, color=FAINT, linewidth=0.5, alpha=0.35)
    return axes


def shortened(name: str, most: int = 14) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


# -- places of labels ----------------------------------------------------------------------------

Box = tuple[float, float, float, float]


def place(axes: Any, spot: tuple[float, float], dx: float, dy: float, width: float) -> Box:
    """(left, bottom, right, top) in points of a label `dx`, `dy` from its point."""
    x, y = axes.transData.transform(spot)
    scale = 72 / axes.figure.dpi
    left, bottom = x * scale + dx, y * scale + dy
    return left, bottom, left + width, bottom + 8.0


def inside(axes: Any, box: Box) -> bool:
    frame = axes.get_window_extent().extents * 72 / axes.figure.dpi
    return bool(
        box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] + 8 and box[3] <= frame[3]
    )


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def write_name(
    axes: Any,
    name: str,
    spot: tuple[float, float],
    offsets: Callable[[float], Sequence[tuple[float, float]]],
    taken: list[Box],
    *,
    strong: bool,
    zorder: int,
) -> None:
    """A point's name at the first of a few places that is free of `taken`, which it joins; nowhere
    where none is. offsets(width of the name): the places, in points from its point."""
    width = 5.2 * len(name)
    for dx, dy in offsets(width):
        box = place(axes, spot, dx, dy, width)
        if inside(axes, box) and not any(overlap(box, other) for other in taken):
            break
    else:
        return
    taken.append(box)
    axes.annotate(
        name, spot, xytext=(dx, dy), textcoords="offset points", color=ACCENT if strong else INK,
        fontweight="bold" if strong else "normal", zorder=zorder,
    )  # fmt: skip


# -- text of the page ----------------------------------------------------------------------------


def as_svg(figure: Any, name: str) -> str:
    import matplotlib

    settings: Any = {"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 9.5}
    buffer = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # letters stay letters: the page's font draws those that matplotlib's has no glyph for
        warnings.filterwarnings("ignore", message="Glyph")
        for text in figure.findobj(matplotlib.text.Text):
            text.set_fontsize(9.5)
            text.set_parse_math(False)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _for_page(buffer.getvalue(), name)


def _for_page(svg: str, name: str) -> str:
    """The <svg> element alone, sized by the page, with ids of its own and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg

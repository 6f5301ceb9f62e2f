"""Pages in one file: a template, the style sheet inside it, and every name escaped.

A page asks the network for nothing and runs no script; the same context gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from depthwise.checkpoint import write_atomically
from depthwise.reporting import roofline_chart
from depthwise.reporting.figures import plain
from depthwise.reporting.layer_costs import in_words, layer_rows

__all__ = ["layers_context", "render", "write_page"]

ENERGY = {
    "measured": "Energy adds up to what was measured; how it divides is predicted from operations, "
    "bytes and time.",
    "predicted": "Energy is predicted from the device's power and from operations and bytes; what "
    "it draws in a layer's time beyond its work is the rest.",
}


def render(template: str, context: Mapping[str, Any]) -> str:
    """The template of this folder as text, `css` and the filter `plain` at hand."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = lambda value: plain(str(value))
    page = environment.get_template(template).render({"css": _file("report.css"), **context})
    # a file name may hold bytes that are no text: they must not stop a page from being written
    return page.encode("utf-8", "replace").decode("utf-8")


def write_page(page: str, path: Path) -> Path:
    """In one step. Raises InputError naming the path where it cannot be written."""
    write_atomically(Path(path), lambda scratch: scratch.write_text(page, encoding="utf-8"))
    return Path(path)


def layers_context(breakdown: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What layers.html shows of a breakdown; None without one."""
    if not breakdown or not breakdown.get("layers"):
        return None
    how = breakdown["how"]
    threads = f"{breakdown['threads']} thread{'s' if breakdown['threads'] > 1 else ''}"
    run = f"{breakdown['precision']}, {threads}, one item at a time"
    runtime = breakdown.get("runtime", "eager")
    shares = "" if runtime == "eager" else f" The whole time is {runtime}'s, its shares PyTorch's."
    way = " by hooks on every layer" if how == "measured" else ""
    return {
        "words": in_words(breakdown),
        "how": how,
        "rows": layer_rows(breakdown),
        "note": f"Time is {how}{way}: {run}.{shares} Memory is counted in the order that PyTorch "
        f"runs, the kernels' scratch space apart. {ENERGY[breakdown['energy_how']]}",
        "roofline": roofline_chart.roofline(breakdown),
        "alt": roofline_chart.roofline_in_words(breakdown),
    }


def _file(name: str) -> str:
    return resources.files("depthwise.reporting").joinpath(name).read_text("utf-8")

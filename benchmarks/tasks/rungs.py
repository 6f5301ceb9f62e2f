"""The rungs of a ladder side by side: score, latency, size, and the smallest that suffices."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["quietest_ms", "tell_rungs"]

SUFFICES = 0.95  # of the best score
TIMES = 20


def quietest_ms(ask: Callable[[int], object]) -> float:
    """Of ask(0), ask(1), ...: the least wall time."""
    times = []
    for i in range(TIMES):
        started = time.perf_counter()
        ask(i)
        times.append(time.perf_counter() - started)
    return min(times) * 1000


def tell_rungs(
    paths: list[Path], latency_ms: Callable[[str], float], also: Callable[[dict[str, Any]], str]
) -> None:
    """A line a result, `paths` being NAME-test-SEED.json, smallest first. latency_ms: of a name,
    taken now, so that all were taken alike; also: more of a report, as text."""
    found = {path.name.split("-test-")[0]: json.loads(path.read_text()) for path in paths}
    ordered = sorted(found, key=lambda name: found[name]["megabytes"])
    best = max(result["report"]["value"] for result in found.values())
    for name in ordered:
        result, report = found[name], found[name]["report"]
        print(
            f"{name:16} {report['value']:.3f} [{report['low']:.3f}, {report['high']:.3f}] "
            f"{also(report)}  {latency_ms(name):.1f} ms  {result['megabytes']:.2f} MB  "
            f"{result['cpu_seconds']:.0f} CPU s of learning",
            flush=True,
        )
    enough = [n for n in ordered if found[n]["report"]["value"] >= SUFFICES * best]
    print(f"{enough[0]} is the smallest with {SUFFICES:.0%} of the best score, {best:.3f}")

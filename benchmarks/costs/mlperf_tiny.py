"""Latency and energy of the four MLPerf Tiny networks, predicted for the boards of the published
rounds and compared with what was published.

    python benchmarks/costs/mlperf_tiny.py [--catalogue]

Leave one network out: a board is described by its class alone (clock, and for all boards of the
class the same efficiency of depthwise and matrix-vector products); the other networks' published
times correct that description (measuring/devices/fitting.py), the network left out is predicted and
compared. Nothing of one board is used for another. Energy: power from the other networks' energy
over time, times the predicted latency. --catalogue: also what all four together say, which is what
devices.toml holds.

Classes. cortex-m: one SIMD instruction multiplies 2 pairs of 8-bit numbers, channels in lanes of 4;
by the instructions of CMSIS-NN's inner loops a depthwise product takes about twice, a matrix-vector
product 1.4 times what a convolution takes. accelerator: vector units, neural engines and phones;
the same ratios, but with a doubt of a factor e. Published: github.com/mlcommons/tiny_results_v1.0,
v1.2, v1.3, closed division, single stream.
"""

import argparse
import statistics
from dataclasses import dataclass

import torch

from depthwise.measuring.counting import Counts, count
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.fitting import Timed, fitted
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.predict import predict_latency

NAMES = {"resnet-8": "IC", "mobilenet": "VWW", "ds-cnn": "KWS", "autoencoder": "AD"}
RELATIVE = {"depthwise": 0.5, "linear": 0.7}
DOUBTS = {
    "cortex-m": {"efficiency": 3.0, "depthwise": 0.25, "linear": 0.25, "overhead_us": 0.5},
    "accelerator": {"efficiency": 3.0, "depthwise": 1.0, "linear": 1.0, "overhead_us": 1.0},
}
SPREADS = {"cortex-m": 1.4, "accelerator": 2.2}
Figures = list[float | None]


@dataclass(frozen=True)
class Board:
    """What is published of one system: ms and uJ of IC, VWW, KWS, AD."""

    kind: str
    clock_ghz: float
    ms: Figures
    uj: Figures
    precision: str = "int8"

    def description(self) -> Device:
        """The board as its class describes it: peak of two products a cycle for a Cortex-M (one
        in floating point), and for others one that no network reaches."""
        small = self.kind == "cortex-m"
        peak = (4 if small else 400) * self.clock_ghz
        return Device(
            id="board",
            name="board",
            kind="microcontroller",
            memory_mb=1,
            bandwidth_gb_s=4 * self.clock_ghz,
            peak_gflops=peak / 2,
            peak_gops_int8=peak,
            clock_ghz=self.clock_ghz,
            overhead_us=2 / self.clock_ghz if small else 10,
            efficiency=0.5 if small else 0.1,
            relative=RELATIVE,
            lanes=4,
            runtime="fused",
            spread=SPREADS[self.kind],
        )


NO: Figures = [None] * 4
BOARDS = {
    "STM32H7A3": Board(
        "cortex-m", 0.280, [40.8, 23.8, 11.3, 1.23], [5090.0, 2965.0, 1376.0, 166.0]
    ),
    "STM32U575": Board("cortex-m", 0.160, [109.5, 59.3, 29.0, 3.21], [2565.0, 1372.0, 664.0, 77.0]),
    "STM32L4R5": Board(
        "cortex-m", 0.120, [165.7, 89.4, 43.4, 4.79], [5496.0, 3030.0, 1431.0, 160.0]
    ),
    "STM32U385": Board("cortex-m", 0.096, [182.4, 98.7, 48.3, 5.41], [966.0, 519.0, 245.0, 32.0]),
    "H7A3, Bosch": Board("cortex-m", 0.280, [45.8, 43.8, None, 1.36], NO),
    "H7A3, Bosch, float": Board("cortex-m", 0.280, [124.2, 81.4, None, 5.23], NO, "fp32"),
    "GAP9": Board("accelerator", 0.240, [0.95, 1.73, 0.73, 0.27], [27.7, 40.8, 18.6, 5.3]),
    "Syntiant 9120": Board(
        "accelerator", 0.098, [5.12, 4.10, 1.48, None], [139.0, 97.0, 44.0, None]
    ),
    "Renesas RA8D1": Board("accelerator", 0.480, [8.48, 13.4, 3.47, 0.53], NO),
    "Snapdragon 8 Gen 3": Board("accelerator", 3.3, [0.149, 0.192, 0.085, 0.074], NO),
}


def runs(board: Board, networks: dict[str, Counts]) -> dict[str, Timed]:
    """What is published of a board, by network."""
    rows = zip(networks, board.ms, board.uj, strict=True)
    return {
        name: Timed(networks[name], 1e-3 * ms, None if uj is None else 1e-6 * uj)
        for name, ms, uj in rows
        if ms is not None
    }


@dataclass
class Error:
    """Predicted over published, less one; inside: whether the interval holds what is published."""

    latency: float
    inside: bool
    energy: float | None


def leave_one_out(board: Board, published: dict[str, Timed]) -> dict[str, Error]:
    errors = {}
    for name, truth in published.items():
        others = [run for other, run in published.items() if other != name]
        device = fitted(board.description(), others, board.precision, DOUBTS[board.kind])
        ms = predict_latency(truth.counts, device, precision=board.precision)
        energy = None
        if truth.joules is not None and device.busy_watts is not None:
            energy = 1e-3 * ms.value * device.busy_watts / truth.joules - 1
        inside = ms.low <= 1e3 * truth.seconds <= ms.high  # type: ignore[operator]
        errors[name] = Error(1e-3 * ms.value / truth.seconds - 1, inside, energy)
    return errors


def report(boards: dict[str, Board], networks: dict[str, Counts]) -> None:
    print(f"{'error of latency / of energy':30}" + "".join(f"{n:>16}" for n in NAMES.values()))
    found: dict[str, dict[str, Error]] = {}
    for title, board in boards.items():
        found[title] = leave_one_out(board, runs(board, networks))
        cells = "".join(f"{_cell(found[title].get(name)):>16}" for name in networks)
        latency = [abs(e.latency) for e in found[title].values()]
        print(f"{title:30}{cells}   median {statistics.median(latency):.0%}", flush=True)
    for kind in (*DOUBTS, ""):
        chosen = [e for t, es in found.items() if kind in boards[t].kind for e in es.values()]
        _summary(kind or "all boards", chosen)


def _cell(error: Error | None) -> str:
    if error is None:
        return "-"
    energy = "" if error.energy is None else f" /{error.energy:+5.0%}"
    return f"{error.latency:+5.0%}{energy}"


def _summary(title: str, errors: list[Error]) -> None:
    latency = sorted(abs(e.latency) for e in errors)
    energy = sorted(abs(e.energy) for e in errors if e.energy is not None)
    print(
        f"{title}: latency median {statistics.median(latency):.1%}, ninth decile "
        f"{latency[int(0.9 * (len(latency) - 1))]:.0%}; energy median "
        f"{statistics.median(energy):.1%} ({len(energy)} figures); "
        f"{sum(e.inside for e in errors)} of {len(errors)} latencies within the interval"
    )


def print_fitted(boards: dict[str, Board], networks: dict[str, Counts]) -> None:
    """What all published networks say of a board."""
    for title, board in boards.items():
        published = runs(board, networks)
        device = fitted(
            board.description(), [*published.values()], board.precision, DOUBTS[board.kind]
        )
        shown = {kind: round(share, 2) for kind, share in device.relative.items()}
        watts = "" if device.busy_watts is None else f", {1e3 * device.busy_watts:.4g} mW"
        reached = device.gflops_reached(board.precision)
        print(f"{title}: {reached:.4g} GOP/s, {shown}, {device.overhead_us:.3g} us{watts}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalogue", action="store_true", help="figures from all four networks")
    options = parser.parse_args()
    counted = {
        name: count(reference.build().eval(), torch.zeros(1, *reference.input_shape))
        for name, reference in REFERENCES.items()
    }
    report(BOARDS, counted)
    if options.catalogue:
        print_fitted(BOARDS, counted)

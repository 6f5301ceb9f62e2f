"""How far each way of predicting energy is off, against MLPerf Tiny's measured joules.

    python benchmarks/costs/energy_ways.py

Four reference networks on four boards of the published rounds (`../shared/PEERS.md` 1d, from the
raw result logs; int8). Each board's power under load is taken from the other three networks, so
that no power is predicted from itself; the rates that the boards reach are the catalogue's, which
these networks' times were used for (benchmarks/costs/mlperf_tiny.py leaves them out in turn).

    power x time           with the time that was published, and with our predicted one
    operations and bytes   measuring/operation_energy.py: no time in it but for the idle power
    both                   their geometric mean, which is what `predict_energy` gives where the
                           time is predicted too

Printed: error of each figure, medians and largest errors, and how many of the published figures lie
in the predicted interval.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from depthwise.measuring.counting import Counts, count
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.energy import predict_energy
from depthwise.measuring.metric import Metric
from depthwise.measuring.predict import by_layer, predict_latency

PUBLISHED = {  # board -> network -> (ms, uJ)
    "stm32h7a3": {
        "resnet-8": (40.8, 5090), "mobilenet": (23.8, 2965),
        "ds-cnn": (11.3, 1376), "autoencoder": (1.23, 166),
    },
    "stm32u575": {
        "resnet-8": (109.5, 2565), "mobilenet": (59.3, 1372),
        "ds-cnn": (29.0, 664), "autoencoder": (3.21, 77),
    },
    "stm32l4r5": {
        "resnet-8": (165.7, 5496), "mobilenet": (89.4, 3030),
        "ds-cnn": (43.4, 1431), "autoencoder": (4.79, 160),
    },
    "gap9": {
        "resnet-8": (0.95, 27.7), "mobilenet": (1.73, 40.8),
        "ds-cnn": (0.73, 18.6), "autoencoder": (0.27, 5.3),
    },
}  # fmt: skip


def main() -> None:
    started = time.process_time()
    counts = {name: counted(name) for name in REFERENCES}
    errors: dict[str, list[float]] = {}
    inside = 0
    for board, rows in PUBLISHED.items():
        for network, (ms, published_uj) in rows.items():
            device = without(board, network)
            found, metric = ways(device, counts[network], ms)
            inside += metric.low <= published_uj / 1e3 <= metric.high
            line = {way: uj / published_uj - 1 for way, uj in found.items()}
            for way, error in line.items():
                errors.setdefault(way, []).append(error)
            told = "  ".join(f"{way} {error:+.0%}" for way, error in line.items())
            print(f"{board:10} {network:12} {published_uj:7g} uJ   {told}", flush=True)
    for way, values in errors.items():
        sizes = [abs(value) for value in values]
        print(f"{way}: median {statistics.median(sizes):.1%}, largest {max(sizes):.0%}")
    print(f"published figures in the interval: {inside} of {len(sizes)}")
    print(f"{time.process_time() - started:.1f} CPU seconds")


def counted(name: str) -> Counts:
    reference = REFERENCES[name]
    return count(reference.build(), torch.zeros(1, *reference.input_shape))


def without(board: str, network: str) -> Device:
    """The board with the power that the other networks drew."""
    others = [figures for name, figures in PUBLISHED[board].items() if name != network]
    watts = 1e-3 * sum(uj for _, uj in others) / sum(ms for ms, _ in others)
    return replace(catalog()[board], busy_watts=watts)


def ways(device: Device, counts: Counts, published_ms: float) -> tuple[dict[str, float], Metric]:
    """uJ by each way, and the metric that a scorecard would have."""
    layers = by_layer(counts, device, precision="int8")
    predicted = predict_latency(counts, device, precision="int8")
    measured = Metric(published_ms, "ms", "measured", details={"precision": "int8"})
    metric = predict_energy(device, predicted, layers=layers)
    found = metric.details["ways"]
    return {
        "published time": 1e3 * predict_energy(device, measured).value,
        "predicted time": 1e3 * found["power x time"],
        "operations and bytes": 1e3 * found["operations and bytes"],
        "both": 1e3 * metric.value,
    }, metric


if __name__ == "__main__":
    main()

"""A breakdown made by hand: convolutions bound by arithmetic and by memory, and small layers."""

from typing import Any


def made_layer(name: str, **changes: Any) -> dict[str, Any]:
    layer = {
        "layer": name,
        "kind": "conv",
        "macs": 1_000_000,
        "moved_bytes": 100_000,
        "weight_bytes": 20_000,
        "live_bytes": 60_000,
        "seconds": 1e-3,
        "bound": "compute",
        "arithmetic_mj": 2.0,
        "bytes_mj": 0.5,
        "rest_mj": 0.5,
    }
    return {**layer, **changes}


def made_breakdown(layers: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """4 ms and 6.4 mJ in all, three small layers among them."""
    small = {"kind": "norm", "macs": 0, "seconds": 1e-5, "bound": "overhead", "weight_bytes": 0}
    spent = {"arithmetic_mj": 0.0, "bytes_mj": 0.005, "rest_mj": 0.005}
    layers = layers or [
        made_layer("stem"),
        *(made_layer(f"norm-{k}", **small, **spent) for k in range(3)),
        made_layer("deep", bound="memory", seconds=2.97e-3, live_bytes=200_000),
    ]
    return {
        "device": "a board",
        "how": "predicted",
        "precision": "fp32",
        "threads": 2,
        "macs": sum(layer["macs"] for layer in layers),
        "seconds": sum(layer["seconds"] for layer in layers),
        "energy_mj": 6.03,
        "energy_how": "predicted",
        "weight_bytes": 40_000,
        "peak_bytes": 200_000,
        "layers": layers,
        "ceilings": {"gflops": 16.0, "reached_gflops": 8.0, "bandwidth_gb_s": 2.0},
    }

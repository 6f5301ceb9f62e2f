"""The measure floor: what a network costs on a device, and how well it does.

    metric.py       Metric: value, unit, interval, and measured | predicted | counted
    limits.py       Limits that a network must keep; Budget: with the minutes of choosing
    devices/        device.py: Device; device_catalog.py: those of devices.toml;
                    device_finder.py: find(name_or_path); device_names.py: how people write them;
                    machine.py: this machine as a Device; calibration.py times its operators,
                    calibration_int8.py those of 8 bits, calibration_networks.py small networks;
                    measured_tables.py says what is kept of it; roofline.py for a described device,
                    operators.py and corrections.py for a measured one;
                    fitting.py: a described Device corrected by networks that were run on it;
                    reference_networks.py: MLPerf Tiny's four networks
    operations.py   Counts: the operations, bytes and live memory of one forward pass
    counting.py     count: takes them by running the network once
    schedule.py     the least memory, in the best order of execution
    speed.py        latency, throughput and peak memory, timed here
    predict.py      the same from counts and a Device's figures
    energy.py       mJ an item: energy_counters.py reads it, operation_energy.py predicts it from
                    operations and bytes
    cost.py         price, what is taken of it, and what a million items cost
    as_run.py       what a network costs in the form that it is stored and run in
    breakdown.py    where time, memory and energy go, layer by layer
    flexibility.py  which runtimes, precisions and batches really run
    quality.py      how well a Model does its task on held-out items
    corruption.py   strange items to be found, made from ordinary ones
    scorecard.py    Scorecard: the six metrics of one Model on one Device

Names are imported when first asked for: the Device part needs no torch.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "Counts": "counting",
    "Device": "devices.device",
    "Metric": "metric",
    "Prices": "cost",
    "Scorecard": "scorecard",
    "breakdown": "breakdown",
    "by_layer": "predict",
    "calibrate": "devices.machine",
    "catalog": "devices.device_catalog",
    "costs": "scorecard",
    "count": "counting",
    "find": "devices.device_finder",
    "fitted": "devices.fitting",
    "latency": "speed",
    "measure": "scorecard",
    "peak_memory": "speed",
    "plan": "schedule",
    "predict_latency": "predict",
    "predict_memory": "predict",
    "predict_throughput": "predict",
    "quality": "scorecard",
    "this_machine": "devices.machine",
    "throughput": "speed",
}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})

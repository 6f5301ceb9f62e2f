"""This machine as a Device: measured once in a few seconds, then read from a cache.

The cache is a JSON file under the user's cache folder (DEPTHWISE_CACHE overrides), named by
processor, cores and PyTorch's version, so that a changed machine is measured anew. Where other
processes held the cores, only one thread is measured, and that again after an hour.

Peaks are of square matrix products (in 8 bits the best operator that ONNX Runtime ran), bandwidth
is that of copying (read and write both counted). The first use measures 32-bit floats; `calibrate`
measures bfloat16 and 8-bit integers too, and all of it again.

Price and power of an unknown machine cannot be measured: DEPTHWISE_PRICE_USD and DEPTHWISE_WATTS
(under load, all cores) give them, or a TOML file with `base = "this-machine"`. Without them the
price is unknown and the power is assumed, 5 W a busy core, right within a factor of about two.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from depthwise.compute import free_cores
from depthwise.errors import InputError
from depthwise.host import available_cores, cache_folder
from depthwise.measuring.devices import (
    calibration,
    calibration_int8,
    calibration_networks,
    corrections,
)
from depthwise.measuring.devices.calibration import own_clock, quickest
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.speed import cores_are_busy, using_threads
from depthwise.scratch import scratch_beside, sweep_once

VERSION = 6  # of what is measured; a change makes old caches void
WATTS_A_CORE = 5.0
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
BUSY_SECONDS = 3600  # a measurement on a busy machine is trusted that long


def this_machine(refresh: bool = False) -> Device:
    """This machine's processor. Takes a few seconds the first time, then reads the cache."""
    cores = available_cores()
    path = _cache_path(_processor(), cores)
    stored = None if refresh else _stored(path)
    if stored is None:
        stored = _measure(cores)
        _store(path, stored)
    return _with_wishes(Device.from_dict(stored, str(path)))


def calibrate(rounds: int = 2) -> Device:
    """This machine measured again in every precision that runs here, and remembered. rounds: how
    often each point is measured, the best counts; 1 to 5, a few seconds each."""
    if rounds < 1:
        raise InputError(f"rounds must be at least 1; got {rounds}.")
    cores = available_cores()
    precisions = ["fp32", "bf16", *(["int8"] if calibration_int8.available() is None else [])]
    stored = _measure(cores, precisions, rounds)
    path = _cache_path(_processor(), cores)
    _store(path, stored)
    return _with_wishes(Device.from_dict(stored, str(path)))


def this_gpu() -> Device:
    """This machine's first NVIDIA GPU: measured peaks and bandwidth; power and price from the
    catalogue where it is there. Raises InputError where there is none."""
    if not torch.cuda.is_available():
        raise InputError("device 'cuda': this machine has no NVIDIA GPU that PyTorch can use.")
    about = torch.cuda.get_device_properties(0)
    base = next((d for d in catalog().values() if d.id in about.name.lower()), None)
    return Device(
        id="cuda",
        name=about.name,
        kind="gpu",
        cores=about.multi_processor_count,
        memory_mb=round(about.total_memory / 1e6),
        peak_gflops=_cuda_gflops(torch.float32),
        peak_gflops_bf16=_cuda_gflops(torch.bfloat16),
        bandwidth_gb_s=_cuda_bandwidth(),
        idle_watts=base.idle_watts if base else 0.0,
        busy_watts=base.busy_watts if base else None,
        price_usd=base.price_usd if base else None,
        overhead_us=8,
        efficiency=0.4,
        sources={"peak_gflops": ["A", "matrix products measured here"]},
    )


def _measure(cores: int, precisions: Sequence[str] = ("fp32",), rounds: int = 1) -> dict[str, Any]:
    """Everything that is measured, as Device.to_dict has it."""
    busy = cores > 1 and (free_cores() < cores or cores_are_busy(cores))
    threads = [1] if busy or cores == 1 else [1, cores]
    with torch.inference_mode():
        peaks = {n: (_gflops(torch.float32, n), _gflops(torch.bfloat16, n)) for n in threads}
        bandwidth = max(_copy_gb_s(n) for n in threads)
    tables = {p: {str(n): _table(p, n, rounds) for n in threads} for p in precisions}
    first = tables["fp32"]["1"]
    here = ["A", "measured here"]
    assumed = ["C", f"assumed, {WATTS_A_CORE:g} W a core, right within a factor of two"]
    device = Device(
        id="this-machine",
        name=f"this machine ({_processor()})",
        cores=cores,
        clock_ghz=_clock_ghz(),
        peak_gflops=max(fp32 for fp32, _ in peaks.values()),
        peak_gflops_bf16=max(bf16 for _, bf16 in peaks.values()),
        peak_gops_int8=_best_operator(tables.get("int8", {})),
        memory_mb=round(psutil.virtual_memory().total / 1e6),
        bandwidth_gb_s=bandwidth,
        cache_kb=_cache_kb(),
        busy_watts=WATTS_A_CORE * cores,
        overhead_us=1e6 * first["operators"]["elementwise"]["seconds"][0],
        spread=first["spread"],
        sources={
            **dict.fromkeys(
                ("peak_gflops", "peak_gflops_bf16", "bandwidth_gb_s", "memory_mb"), here
            ),
            **dict.fromkeys(("peak_gops_int8", "overhead_us", "cache_kb"), here),
            "busy_watts": assumed,
        },
        calibration={"tables": tables, "busy": busy},
    )
    return device.to_dict()


def _table(precision: str, threads: int, rounds: int) -> dict[str, Any]:
    """Operators alone, and what networks say of them; each measured `rounds` times in turn, so
    that a disturbance does not fall on one of them only."""
    alone: dict[str, Any] = {}
    runs: dict[tuple[str, int], corrections.Measured] = {}
    for _ in range(rounds):
        found = (
            calibration_int8.operators_int8(threads)
            if precision == "int8"
            else calibration.operators(threads, precision)
        )
        alone = calibration.merged(alone, found) if alone else found
        for run in calibration_networks.measured(precision, threads):
            known = runs.get((run.name, run.batch), run)
            runs[run.name, run.batch] = min(run, known, key=lambda r: r.seconds)
    return corrections.fit([*runs.values()], {"operators": alone}, precision, threads)


def _best_operator(tables: dict[str, Any]) -> float | None:
    """GOP/s of the quickest point of any grid."""
    reached = [
        max(map(max, grid["gflops"]))
        for table in tables.values()
        for grid in table["operators"].values()
        if isinstance(grid, dict) and "gflops" in grid
    ]
    return max(reached, default=None)


def _with_wishes(device: Device) -> Device:
    """Price and power from the environment, which the cache must not hold."""
    price, watts = _number("DEPTHWISE_PRICE_USD"), _number("DEPTHWISE_WATTS")
    if price is not None:
        sources = {**device.sources, "price_usd": ["B", "DEPTHWISE_PRICE_USD"]}
        device = replace(device, price_usd=price, sources=sources)
    if watts is not None:
        sources = {**device.sources, "busy_watts": ["B", "DEPTHWISE_WATTS"]}
        device = replace(device, busy_watts=watts, sources=sources)
    return device


def _number(variable: str) -> float | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{variable} must be a number; got {text!r}.") from None
    if not 0 <= value < float("inf"):
        raise InputError(f"{variable} must be at least 0; got {text!r}.")
    return value


def _gflops(dtype: torch.dtype, threads: int, side: int = 640) -> float:
    a, b = torch.ones(side, side, dtype=dtype), torch.ones(side, side, dtype=dtype)
    with using_threads(threads):
        return 2e-9 * side**3 / quickest(lambda: a @ b, bursts=6, clock=own_clock())


def _copy_gb_s(threads: int, megabytes: int = 64) -> float:
    source = torch.ones(megabytes * 250_000)
    target = torch.empty_like(source)
    with using_threads(threads):
        return 2e-9 * source.nbytes / quickest(lambda: target.copy_(source), clock=own_clock())


def _cuda_gflops(dtype: torch.dtype, side: int = 8192) -> float:
    a = torch.ones(side, side, dtype=dtype, device="cuda")
    return 2e-9 * side**3 / _cuda_quickest(lambda: a @ a)


def _cuda_bandwidth() -> float:
    source = torch.ones(64_000_000, device="cuda")
    return 2e-9 * source.nbytes / _cuda_quickest(source.clone)


def _cuda_quickest(run: Any) -> float:
    def finished() -> None:
        run()
        torch.cuda.synchronize()

    return quickest(finished)


def _processor() -> str:
    """The processor's name, as people know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine() or "unknown processor"


def _clock_ghz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, AttributeError):
        return None
    return frequency.current / 1e3 if frequency and frequency.current else None


def _cache_kb() -> float | None:
    """The largest cache of the first core in KB, as Linux reports it."""
    try:
        sizes = [p.read_text("ascii").strip() for p in CACHES.glob("index*/size")]
        return max((float(size.removesuffix("K")) for size in sizes), default=None)
    except (OSError, ValueError):
        return None


def _cache_path(processor: str, cores: int) -> Path:
    key = f"{VERSION}|{processor}|{cores}|{torch.__version__}"
    return cache_folder() / f"machine-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _stored(path: Path) -> dict[str, Any] | None:
    """What the cache holds, or None where it is not there or not whole."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        Device.from_dict(stored)
        stale = stored["calibration"]["busy"] and time.time() - path.stat().st_mtime > BUSY_SECONDS
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return None if stale else dict(stored)


def _store(path: Path, stored: dict[str, Any]) -> None:
    """Written whole or not at all; a cache that cannot be written is only slower."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(path.parent)
        scratch = scratch_beside(path)
        scratch.write_text(json.dumps(stored), "utf-8")
        scratch.replace(path)
    except OSError:
        pass

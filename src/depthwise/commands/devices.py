"""The command `devices`: what there is to run on, and how fast this machine really is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.commands import options as give
from depthwise.commands.edge import print_json, require_one_of, teller
from depthwise.errors import InputError

if TYPE_CHECKING:
    from depthwise.measuring.devices.device import Device

__all__ = ["devices"]


def devices(
    action: Annotated[
        str | None, typer.Argument(help="calibrate: measure this machine again, all of it.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="calibrate: also a device file that others can use.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="calibrate: times that each point is measured.", min=1, max=20)
    ] = 2,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """List the known devices, this machine first; or measure this machine.

    `depthwise devices calibrate` takes some ten seconds: peaks, bandwidth, every kind of operator
    in fp32, bf16 and int8, and small networks, to which predictions are fitted. It is remembered.
    """
    from depthwise.measuring.devices.device_catalog import catalog
    from depthwise.measuring.devices.device_finder import find

    require_one_of("action", action, ("calibrate",))
    if action is None:
        if out is not None:
            raise InputError("--out is for `depthwise devices calibrate`; leave it out, or say so.")
        _show([find("this"), *catalog().values()], json)
        return
    path = None if out is None else _require_toml(out)
    from depthwise.measuring.devices.machine import calibrate

    teller(quiet)(f"measuring this machine, {rounds} rounds")
    device = calibrate(rounds)
    if path is not None:
        _write(device, path)
    print_json(_summary(device)) if json else _tell(device, path)


def _show(listed: list[Device], json: bool) -> None:
    from depthwise.commands.screen import console, print_devices

    if json:
        print_json([device.to_dict() for device in listed])
    else:
        print_devices(listed, console())


def _require_toml(out: str) -> Path:
    path = Path(out)
    if path.suffix != ".toml":
        raise InputError(f"--out must end in .toml; got {out!r}.")
    if not path.parent.is_dir():
        raise InputError(f"--out {out!r}: there is no folder {str(path.parent)!r}. Make it first.")
    return path


def _write(device: Device, path: Path) -> None:
    """Under a name of its own, since on another machine it is not "this" one."""
    from depthwise.checkpoint import write_atomically

    name = device.name.removeprefix("this machine ").strip("()")
    words = "".join(ch if ch.isalnum() else " " for ch in name.lower()).split()
    own = "-".join([*words, str(device.cores), "cores"])
    text = replace(device, id=own, name=f"{name}, {device.cores} cores").to_toml()
    write_atomically(path, lambda scratch: scratch.write_text(text, "utf-8"))


def _summary(device: Device) -> dict[str, Any]:
    """Ceilings, and by precision and threads the factor that predictions are right within."""
    tables = device.calibration["tables"]
    return {
        "name": device.name,
        "peaks": device.peaks,
        "bandwidth_gb_s": device.bandwidth_gb_s,
        "cache_kb": device.cache_kb,
        "busy": device.calibration["busy"],
        "spread": {p: {n: t["spread"] for n, t in by.items()} for p, by in tables.items()},
    }


def _tell(device: Device, path: Path | None) -> None:
    print(device.name)
    for precision, peak in device.peaks.items():
        unit = "GOP/s" if precision == "int8" else "GFLOP/s"
        spreads = device.calibration["tables"].get(precision, {})
        factors = [f"{t['spread']:.2f} ({n} threads)" for n, t in spreads.items()]
        within = f" predictions within a factor of {', '.join(factors)}" if factors else ""
        print(f"{precision:6}{peak:>10,.0f} {unit:8}{within}")
    print(f"memory{device.bandwidth_gb_s:>10,.1f} GB/s copied")
    if "int8" not in device.peaks:
        print('int8 was not measured: pip install "depthwise[export]"')
    if device.calibration["busy"]:
        print("Other work held the cores: only one thread was measured. Try again when it is done.")
    if path is not None:
        print(f"written to {path}")

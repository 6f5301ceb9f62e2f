"""A Device by its name or file.

find("this")             this machine, measured once and remembered (machine.py)
find("cuda")             this machine's first NVIDIA GPU, likewise
find("raspberry-pi-5")   one of the catalogue (device_catalog.py);
                         also "rpi5", "Raspberry Pi 5": device_names.py
find("my/board.toml")    your own
"""

import tomllib
from pathlib import Path

from depthwise.errors import InputError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.devices.device_names import known_as, nearest

__all__ = ["THIS", "find", "read"]

THIS = ("this", "this-machine", "this machine")


def find(name_or_path: str | Path | Device) -> Device:
    """The device of that name, or described by that TOML file.

    Raises InputError: unknown name (with the nearest ones), unreadable or wrong file.
    """
    if isinstance(name_or_path, Device):
        return name_or_path
    name = str(name_or_path)
    if name in THIS or name == "cuda":
        from depthwise.measuring.devices import machine

        return machine.this_gpu() if name == "cuda" else machine.this_machine()
    if name in catalog():
        return catalog()[name]
    if name.endswith(".toml") or Path(name).is_file():
        return read(Path(name))
    if called := known_as(name, catalog()):
        return find(called)
    known, near = ["this", "cuda", *catalog()], nearest(name, catalog())
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
    raise InputError(
        f"device {name!r} is unknown. {hint} A TOML file of your own is taken by its path."
    )


def read(path: Path) -> Device:
    """A device described by the user's own TOML file; `base` names one to start from."""
    try:
        entry = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"device file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"device file {path} is not valid TOML: {error}.") from None
    base = entry.pop("base", None)
    if base is None:
        return Device.from_dict({"id": path.stem, "name": path.stem, **entry}, str(path))
    if not isinstance(base, str) or base.endswith(".toml"):
        raise InputError(f"{path}: base must be a device's name; got {base!r}.")
    return find(base).changed(entry, str(path))

"""The catalogue of devices: devices.toml, whose top explains every figure, as Devices."""

import tomllib
from functools import cache
from importlib import resources

from depthwise.measuring.devices.device import Device

__all__ = ["catalog"]


@cache
def catalog() -> dict[str, Device]:
    """Every device of devices.toml, by id."""
    text = (
        resources.files("depthwise.measuring.devices").joinpath("devices.toml").read_text("utf-8")
    )
    return {
        key: Device.from_dict({"id": key, **entry}, f"devices.toml, {key}")
        for key, entry in tomllib.loads(text).items()
    }

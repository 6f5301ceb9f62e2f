"""Energy from what a network does: its products, the bytes it moves, and the time it takes.

    E = k sum_l M_l e_mac(p) / r_l  +  sum_l B_l e_byte  +  P_idle T

    M_l, B_l   multiply-accumulates and bytes of layer l; T the seconds of the run
    r_l        what its kind of layer reaches of what a convolution does (Device.relative): the
               instructions that a product takes are as many more
    e_mac      a product and its sum in 45 nm at 0.9 V, pJ: int8 0.2 + 0.1 (summed in 32 bits),
               bf16 1.1 + 0.9 (as fp16, summed in fp32), fp32 3.7 + 0.9
    e_byte     an eighth of an access of 64 bits: 100 pJ to 1 MB of SRAM, where the network fits
               into the device's cache or RAM on the chip; else 1.3 to 2.6 nJ to DRAM, of which the
               geometric mean is taken
               (Horowitz 2014, "Computing's energy problem", ISSCC, pages 10-14)
    k          what the device spends on a product in multiples of the bare arithmetic: fetching
               and steering instructions (70 pJ each, the same source), its process, its voltage

        k = (P_busy - P_idle) / (products a second that networks reach * e_mac)

    A scalar microcontroller has a k of hundreds, a GPU one of about ten: k is most of the answer.
    Where the device's power is unknown, k is the middle one of the catalogue's devices of its
    kind, and the interval spans them all.

Idle power is charged for the time of the run, not for the time between runs.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from depthwise.errors import InputError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.predict import LayerCost

PICO = 1e-12
MAC_PJ = {"int8": 0.2 + 0.1, "bf16": 1.1 + 0.9, "fp32": 3.7 + 0.9}
SRAM_PJ_A_BYTE = 100 / 8
DRAM_PJ_A_BYTE = math.sqrt(1300 * 2600) / 8
DRAM_FACTOR = math.sqrt(2600 / 1300)  # either way
CACHE_BYTES = 1e6  # on the chip, where a device does not say


@dataclass(frozen=True)
class LayerEnergy:
    """What one layer spends, mJ a run."""

    layer: str
    arithmetic_mj: float
    bytes_mj: float
    idle_mj: float

    @property
    def mj(self) -> float:
        return self.arithmetic_mj + self.bytes_mj + self.idle_mj


@dataclass(frozen=True)
class Factor:
    """k, how far it may be off either way, and where it is from."""

    value: float
    low: float
    high: float
    source: str


def layer_energies(
    layers: Sequence[LayerCost], device: Device, precision: str, power_share: float = 1.0
) -> list[LayerEnergy]:
    """Of each layer, in order. power_share: the part of the device's idle power that is charged.
    Raises InputError: a precision without a figure."""
    factor = device_factor(device, precision).value
    mac_j, byte_j = PICO * factor * MAC_PJ[precision], PICO * byte_pj(layers, device)
    idle_watts = device.idle_watts * power_share
    return [
        LayerEnergy(
            layer=cost.layer,
            arithmetic_mj=1e3 * mac_j * cost.macs / device.relative.get(cost.kind, 1.0),
            bytes_mj=1e3 * byte_j * _moved(cost),
            idle_mj=1e3 * idle_watts * cost.seconds,
        )
        for cost in layers
    ]


def device_factor(device: Device, precision: str) -> Factor:
    """k of a device. Raises InputError: a precision that it, or this table, has no figure for."""
    if precision not in MAC_PJ:
        known = ", ".join(MAC_PJ)
        raise InputError(f"precision must be one of {known}; got {precision!r}.")
    own = _own_factor(device, precision)
    if own is not None:
        return Factor(own, own, own, "its power under load at the rate that networks reach")
    same = [d for d in catalog().values() if d.kind == device.kind] or list(catalog().values())
    known_factors = sorted(k for d in same if (k := _own_factor(d, precision)) is not None)
    if not known_factors:
        known_factors = sorted(
            k for d in catalog().values() if (k := _own_factor(d, precision)) is not None
        )
    middle = statistics.median(known_factors)
    source = f"as {len(known_factors)} devices of the catalogue: its power is unknown"
    return Factor(middle, known_factors[0], known_factors[-1], source)


def byte_pj(layers: Sequence[LayerCost], device: Device) -> float:
    """pJ a byte: of SRAM where weights and live tensors stay on the chip, else of DRAM."""
    return SRAM_PJ_A_BYTE if stays_on_chip(layers, device) else DRAM_PJ_A_BYTE


def stays_on_chip(layers: Sequence[LayerCost], device: Device) -> bool:
    """A microcontroller has no other memory; another device has its cache."""
    if device.kind == "microcontroller":
        return True
    room = CACHE_BYTES if device.cache_kb is None else 1e3 * device.cache_kb
    weights = sum(cost.weight_bytes for cost in layers)
    return weights + max((cost.live_bytes for cost in layers), default=0) <= room


def _own_factor(device: Device, precision: str) -> float | None:
    """None where its power is unknown or it does not run that precision."""
    if device.busy_watts is None or device.busy_watts <= device.idle_watts:
        return None
    try:
        products = 0.5e9 * device.gflops_reached(precision)
    except InputError:
        return None
    return (device.busy_watts - device.idle_watts) / (products * PICO * MAC_PJ[precision])


def _moved(cost: LayerCost) -> int:
    """Bytes; none of a layer that takes no time: a fused runtime does it inside the one before."""
    return (cost.read_bytes + cost.written_bytes + cost.weight_bytes) * (cost.seconds > 0)

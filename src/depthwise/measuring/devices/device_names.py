"""The names that people call devices by, besides those of the catalogue.

    RPi5, pi-5, "Raspberry Pi 5", raspberry_pi_5    raspberry-pi-5
    orin-nano, nano33ble, edgetpu, 4090             jetson-orin-nano, nrf52840, coral-usb, rtx-4090
    cpu, here, gpu                                  this, cuda

Capitals, spaces and signs do not count. A name that only resembles one is never taken for it, but
suggested.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["known_as", "nearest"]

SHORT = {  # a catalogue name's beginning -> what people write for it
    "raspberry-pi-": ("rpi", "pi", "raspi", "raspberry"),
    "raspberry-pi-pico": ("pico",),
    "orange-pi-": ("opi", "orange"),
    "jetson-": ("", "nvidia-jetson"),
    "coral-usb": ("coral", "edge-tpu", "coral-edge-tpu", "coral-tpu"),
    "nrf52840": ("nano-33-ble", "arduino-nano-33-ble", "arduino-nano-33-ble-sense", "nrf52"),
    "renesas-ra8d1": ("ra8d1",),
    "syntiant-ndp9120": ("ndp9120",),
    "teensy-4-1": ("teensy-4", "teensy"),
    "esp32-s3": ("esp32",),
    "stm32": ("nucleo-", "nucleo-stm32"),
    "pixel-8": ("google-pixel-8",),
    "galaxy-s24": ("s24", "samsung-s24", "samsung-galaxy-s24"),
    "iphone-16-pro": ("iphone-16", "iphone"),
    "macbook-air-m4": ("macbook-air", "macbook", "m4"),
    "mac-mini-m4": ("mac-mini",),
    "rtx-4090": ("4090", "geforce-rtx-4090", "nvidia-4090"),
    "server-cpu-": ("server-", "cloud-"),
    "server-xeon-8480": ("xeon-8480", "xeon"),
    "h100": ("h100-sxm", "nvidia-h100"),
    "h200": ("h200-sxm", "nvidia-h200"),
    "t4": ("nvidia-t4", "tesla-t4"),
    "l4": ("nvidia-l4",),
    "a100": ("a100-sxm", "nvidia-a100"),
}
HERE = {
    "this": ("here", "cpu", "local", "localhost", "this-computer"),
    "cuda": ("gpu", "cuda:0", "this-gpu"),
}
NOT_SHORT = ("nano",)  # which of three boards?


def known_as(name: str, catalogue: Iterable[str]) -> str | None:
    """The catalogue's name, "this" or "cuda", for what people write; None for an unknown name."""
    return _spellings(catalogue).get(_plain(name))


def nearest(name: str, catalogue: Iterable[str], most: int = 3) -> list[str]:
    """The devices whose names, long or short, resemble this one most."""
    spellings = _spellings(catalogue)
    close = difflib.get_close_matches(_plain(name), spellings, 3 * most)
    return list(dict.fromkeys(spellings[spelling] for spelling in close))[:most]


def _spellings(catalogue: Iterable[str]) -> dict[str, str]:
    """Plain spellings -> names; the catalogue's own come first, ambiguous ones are left out."""
    own = {_plain(name): name for name in ("this", "cuda", *catalogue)}
    short: dict[str, set[str]] = {}
    for name in own.values():
        for spelling in _short(name):
            short.setdefault(_plain(spelling), set()).add(name)
    single = {k: min(names) for k, names in short.items() if len(names) == 1 and k not in NOT_SHORT}
    return {**single, **own}


def _short(name: str) -> Iterable[str]:
    yield from HERE.get(name, ())
    for beginning, others in SHORT.items():
        if name.startswith(beginning):
            yield from (other + name.removeprefix(beginning) for other in others)


def _plain(name: str) -> str:
    return "".join(ch for ch in name.lower() if ch.isalnum())

"""Imports that wait until something is asked of them.

`scipy.stats` alone takes half as long to import as torch, and scikit-learn imports it whole for one
function that nothing here calls; pandas, where it is installed, for data frames, which the command
line never has. The command line, whose process is its own, therefore puts a stand-in in the place
of each before scikit-learn comes: the first attribute that is asked for (also by `from scipy.stats
import norm`) brings the real module. The library leaves the user's process alone.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["defer"]


class _StandIn(ModuleType):
    """A module that is imported when it is first used."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute in ("__spec__", "__file__"):  # which the import system looks for in passing
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


def defer(name: str) -> None:
    """Let `name` be imported by its first use, unless it has been already or is not installed."""
    package = name.partition(".")[0]
    spec = None if name in sys.modules else find_spec(package)
    if spec is not None:
        sys.modules[name] = stand_in = _StandIn(name)
        if name == package:
            stand_in.__spec__ = spec  # by which others ask whether it is installed

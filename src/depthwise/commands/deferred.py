"""Imports that wait until something is asked of them.

`scipy.stats` alone takes half as long to import as torch, and scikit-learn imports it whole for one
function that nothing here calls. The command line, whose process is its own, therefore puts a
stand-in in its place before scikit-learn comes: the first attribute that is asked for (also by
`from scipy.stats import norm`) brings the real module. The library leaves the user's process alone.
"""

from __future__ import annotations

import importlib
import sys
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
    """Let `name` be imported by its first use, unless it has been already."""
    sys.modules.setdefault(name, _StandIn(name))

"""Targets whose classes have names: boxes of a Dataset, masks, people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ClassedTargets"]


@dataclass(frozen=True)
class ClassedTargets:
    """Targets whose class numbers are positions in `classes`, if these are known."""

    values: Any
    classes: Sequence[Any] | None = None

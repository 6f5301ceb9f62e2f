"""Problem: something that reading or checking found in the data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """Something found in the data: what `kind`, `where`, the `detail`, and how many times."""

    kind: str
    where: str
    detail: str
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count:,})" if self.count > 1 else ""
        where = f"{self.where}: " if self.where else ""
        return f"{self.kind}{times}: {where}{self.detail}"

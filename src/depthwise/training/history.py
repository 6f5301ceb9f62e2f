"""What happened in a run, and how the run behind a checkpoint was computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depthwise.checkpoint import read_state
from depthwise.compute import Compute, is_here
from depthwise.errors import ModelFileError

__all__ = ["History", "recorded_compute"]


@dataclass
class History:
    """What happened. `epochs`: one {"epoch", "loss", "score", "seconds"} each; `stopped`:
    "finished", "patience", "time" or "interrupted"; `seconds`: training time over all sittings."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = "finished"
    steps: int = 0
    seconds: float = 0.0
    compute: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def recorded_compute(checkpoint: Path | None, device: str = "auto") -> Compute | None:
    """How the run behind a checkpoint is computed, so that it goes on in the same way, bit for bit;
    None where there is no checkpoint yet, or where it was begun on a GPU that is not here, or on
    another `device` than is asked for now: then it goes on in a way of its own."""
    if checkpoint is None or not checkpoint.exists():
        return None
    try:
        recorded = Compute(**read_state(checkpoint)["history"]["compute"])
    except (KeyError, TypeError):
        raise ModelFileError(
            f"{checkpoint} is not a checkpoint. Delete it to start again."
        ) from None
    wanted = device in ("auto", recorded.device)
    return recorded if wanted and is_here(recorded.device) else None

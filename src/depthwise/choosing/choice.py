"""The outcome of a choice, and the folder that keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthwise.catalog import load_model
from depthwise.errors import InputError
from depthwise.journal import is_begun
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard
from depthwise.models.estimator import Estimator
from depthwise.reporting.judging import worthless
from depthwise.scratch import remove_whole

__all__ = ["Choice", "finished", "refuse_strangers"]


@dataclass
class Choice:
    """The outcome. `record` is what choice.json holds; `winner` the fitted model, or None."""

    record: dict[str, Any]
    winner: Estimator | None
    out: Path | None

    @property
    def scorecard(self) -> Scorecard | None:
        """The winner's six metrics, accuracy (of its task) from the test part."""
        for candidate in self.record["candidates"]:
            if candidate["status"] == "winner":
                card = Scorecard.from_dict(candidate["scorecard"])
                card.accuracy = Metric.from_dict(self.record["test"])
                return card
        return None

    def __str__(self) -> str:
        if self.winner is None:
            return "no network meets the limits"
        if told := worthless(self.record):
            return f"{told}\nthe best of them is {self.record['winner']}\n{self.scorecard}"
        return f"ship {self.record['winner']}\n{self.scorecard}"


def finished(out: Path, request: dict[str, Any]) -> Choice | None:
    """The choice that `out` already holds, if it is this one, complete, and found a winner."""
    try:
        record = json.loads((out / "choice.json").read_text(encoding="utf-8"))
        if record["request"] != request or not record["complete"] or not record["winner"]:
            return None
        winner = load_model(out / "best")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if (out / "work").exists():
        remove_whole(out / "work")
    return Choice(record, winner, out)


def refuse_strangers(out: Path) -> None:
    """Only an absent or empty folder, or one that `choose` made, is written into; a choice that
    found a winner is never replaced."""
    if out.is_dir() and any(out.iterdir()):
        if not ((out / "choice.json").exists() or is_begun(out)):
            raise InputError(f"--out {out} is not empty and not depthwise's. Give another folder.")
        if _has_winner(out / "choice.json") and not (out / "work").exists():
            raise InputError(
                f"--out {out} holds another choice (other data, task, device, limits, "
                "families or seed). Give another folder, or delete that one."
            )


def _has_winner(record: Path) -> bool:
    """Whether there is something to lose: also where the record cannot be read."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))["winner"] is not None
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True

"""Where the minutes are short, a part is gone through as far as they suffice, and that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.choosing import parts
from depthwise.choosing.clock import Clock
from depthwise.choosing.ladder import Candidate, ladder
from depthwise.choosing.trials import Trials
from depthwise.data.load import load
from depthwise.families.cnn import CNN
from depthwise.journal import Journal
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard


def trials_of(data: Any, folder: Path, task: str, heard: list[str], minutes: float = 1) -> Trials:
    clock = Clock(60 * minutes)
    return Trials(data, task, Journal(folder / "work", {}), folder, heard.append, clock)


def pictures() -> Any:
    images = np.random.default_rng(0).integers(0, 256, (4000, 1, 8, 8), dtype=np.uint8)
    return load(images, labels=np.arange(4000) % 4)


def answering(rate: float) -> tuple[list[Candidate], dict[str, Scorecard]]:
    candidates = ladder({"cnn": CNN}, (1, 8, 8), 0)[:3]
    cards = {
        c.name: Scorecard("here", throughput=Metric(rate * (k + 1) / 2, "items/s", "measured"))
        for k, c in enumerate(candidates)
    }
    return candidates, cards


def test_a_slow_answer_cuts_the_parts_evenly_and_says_so(tmp_path: Path) -> None:
    data, heard = pictures(), list[str]()
    trials = trials_of(data, tmp_path, "classification", heard)
    cut = parts.within(trials, *answering(40.0))
    assert len(cut.indices["validation"]) == 120  # a twentieth of 60 s at 40 items a second
    assert len(cut.indices["test"]) == 360
    assert set(cut.indices["test"]) <= set(data.indices["test"])
    assert (cut.indices["train"] == data.indices["train"]).all()
    assert np.bincount(cut.labels[cut.indices["test"]]).min() > 50  # of four classes
    assert any("360 of its" in line and "--minutes" in line for line in heard)
    assert [p.where for p in cut.problems if p.kind == "part not used in full"] == [
        "validation",
        "test",
    ]


def test_a_quick_answer_leaves_the_parts_whole(tmp_path: Path) -> None:
    data = pictures()
    cut = parts.within(trials_of(data, tmp_path, "classification", []), *answering(1e6))
    assert {p: len(i) for p, i in cut.indices.items()} == {
        p: len(i) for p, i in data.indices.items()
    }
    assert cut.problems == data.problems


def test_begun_again_the_parts_are_the_same(tmp_path: Path) -> None:
    first, second = (
        parts.within(trials_of(pictures(), tmp_path, "classification", []), *answering(rate))
        for rate in (40.0, 70.0)
    )
    assert (first.indices["test"] == second.indices["test"]).all()


def test_of_prose_the_beginning_of_a_part_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prose.txt").write_text("It was a dark night and nobody spoke. What then? " * 6000)
    data, heard = load(tmp_path / "prose.txt", cache=False), list[str]()
    learnt = sum(len(data.inputs[i]) for i in data.indices["train"])
    pace = parts.BACKWARD / parts.OVERLAP * learnt / 1000  # 1,000 a second are scored
    monkeypatch.setattr(Trials, "quick_pace", lambda self, c: pace)
    trials = trials_of(data, tmp_path, "language", heard)
    cut = parts.within(trials, answering(1.0)[0], {})
    texts = {part: "".join(cut.inputs[i] for i in cut.indices[part]) for part in cut.indices}
    whole = {part: "".join(data.inputs[i] for i in data.indices[part]) for part in data.indices}
    assert len(texts["validation"]) == 5000 and len(texts["test"]) == 9000
    assert whole["test"].startswith(texts["test"]) and texts["train"] == whole["train"]
    assert sum("characters" in line for line in heard) == 2

"""Measuring again: the costs of networks that were trained, taken on real samples, with the support
matrix that was really run. It is rationed: the best come first, and while there is time."""

from __future__ import annotations

from typing import Any

from depthwise.choosing.ladder import Candidate
from depthwise.choosing.parts import rate_of
from depthwise.choosing.trials import Trained, Trials
from depthwise.data.dataset import Dataset
from depthwise.measuring.breakdown import PASSES, SECONDS
from depthwise.measuring.devices.device import Device
from depthwise.measuring.scorecard import Scorecard, costs

__all__ = ["LAST", "final_card", "final_cards", "layers_seconds", "testing_seconds"]

MEASURED_AGAIN = 5.0  # seconds of measuring all trained candidates, at most half a second each
RUN_IN_CELLS = 100  # times, about, that a network answers for a support matrix
LITTLE = 1.0  # seconds: what takes no more is done in any case
COUNTED = 40  # times as long an answer takes while its operations are counted
LAST = 0.5  # of the time kept for the end: testing and the report


def final_cards(
    trials: Trials, screened: dict[str, Scorecard], device: Device
) -> dict[str, Scorecard]:
    """Costs of all that were trained: of the best measured again; of those for which there is no
    time as they were `screened`, without a support matrix."""
    cards, longest, late = dict(screened), 0.0, 0
    for entry in sorted(trials.trained.values(), key=lambda t: -t.score):
        name, begun = entry.candidate.name, trials.clock.spent
        optional = longest > 0 and name in screened and _step(entry) not in trials.journal.steps
        kept = LAST * trials.clock.finishing + trials.clock.refitting
        if optional and trials.clock.left < longest + kept:
            late += 1
            continue
        cards[name] = final_card(trials, entry, device, screened.get(name))
        longest = max(longest, trials.clock.spent - begun)
    if late:
        trials.tell(f"{late} of the trained networks are not measured again: no time is left")
    return cards


def testing_seconds(
    data: Dataset, candidates: list[Candidate], cards: dict[str, Scorecard]
) -> float:
    """What a middling one of the candidates needs for the test part; 0 where none was timed
    here."""
    rate = rate_of(candidates, cards)
    return len(data.indices["test"]) / rate if rate else 0.0


def layers_seconds(card: Scorecard) -> float:
    """About what the look at the winner's layers takes."""
    assert card.latency
    answer = card.latency.value / 1e3
    return 0.5 + min(SECONDS, PASSES * answer) + COUNTED * answer


def final_card(
    trials: Trials, entry: Trained, device: Device, screened: Scorecard | None = None
) -> Scorecard:
    """Costs of the trained network, and its support matrix where there is time for one, on real
    samples; remembered."""
    model, data = entry.model(), trials.data
    known = screened.latency if screened and screened.latency else None
    slowest = known.value / 1e3 if known and known.how == "measured" else 0.0
    left = max(0.0, trials.clock.left - LAST * trials.clock.finishing)

    def take() -> dict[str, Any]:
        trials.heart.doing(f"{entry.candidate.name}: measuring the trained network")
        shape, dtype = model.input_shape_, model.input_dtype_
        samples = model.prepare(data.inputs[data.indices["validation"][:64]])
        card = costs(
            model.network_,
            shape,
            dtype,
            device,
            seconds=min(0.5, MEASURED_AGAIN / len(trials.trained)),
            samples=samples,
            logits=model.gives_logits,
            running=model.running_,
            answering=model.answering(model.network_),
            flexibility=RUN_IN_CELLS * slowest <= max(left, LITTLE),
            matrix_seconds=left,
        )
        return card.to_dict()

    return Scorecard.from_dict(trials.journal.recall(_step(entry), take))


def _step(entry: Trained) -> str:
    """With its epochs: what an interruption left is measured anew once it is trained on."""
    return f"card/{entry.rungs}/{entry.epochs:g}/{entry.candidate.name}"

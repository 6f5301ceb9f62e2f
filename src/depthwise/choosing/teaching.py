"""What a frozen backbone knows that is too large for the device, taught to the networks that fit.

    teacher   the frozen backbone that broke a limit, its output layer solved on the training part
    answers   its logits for every training item (by an output layer that was solved without the
              item they taught less: docs/LOG.md)
    pupil     the best network that was trained by gradient descent, trained once more from the same
              beginning in as many passes, towards labels and answers (losses.Taught)

So the pupil differs from the network beside it in its teacher alone, and what that gained is told.
The answers are to the pictures as they are; the pupil sees them moved and mirrored, which changes
what they are of by nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from depthwise.checkpoint import write_atomically
from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import FAILURES, Trained, Trials, named, told_gain
from depthwise.models.estimator import Estimator
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Classifier

__all__ = ["TaughtCandidate", "lesson_seconds", "teach", "teacher_of"]

SHARE = 0.45  # of the time for training that teacher and pupils have
LOOKING = 0.5  # of that at most, for looking at all pictures
LEAST_PASSES = 10  # of the quickest network, below which no time is taken from it
FEWEST = 0.5  # of the passes of the network beside it, below which a pupil is not begun
PUPILS = 2


@dataclass(frozen=True)
class TaughtCandidate(Candidate):
    """A candidate that learns from a teacher's logits (N, K) for the training part, too."""

    logits: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), compare=False)

    @property
    def learns_anew(self) -> bool:
        return False

    def model(self) -> Estimator:
        made = super().model()
        assert isinstance(made, NetworkEstimator)
        made.teacher_logits = self.logits
        return made


def teacher_of(found: Feasible, candidates: list[Candidate]) -> list[Candidate]:
    """Frozen backbones that broke a limit, the one that sees most first; none where one keeps them
    all, or no network is left to teach."""
    if any(_is_frozen(c) for c in found.kept):
        return []
    if not any(_can_be_taught(c.make) for c in found.kept):
        return []
    broken = [c for c in candidates if c.name in found.missed and _is_frozen(c)]
    return [c for c in reversed(broken) if c.model().teacher is not None]


def _is_frozen(candidate: Candidate) -> bool:
    return candidate.model().is_linear_probe


def lesson_seconds(
    trials: Trials, teachers: list[Candidate], kept: list[Candidate], seconds: float
) -> float:
    """The part of `seconds` that is for teaching: 0 where it suffices for no look and LEAST_PASSES
    of the quickest network, which needs its time more than a teacher then."""
    pupils = [c for c in kept if _can_be_taught(c.make)]
    looks, passes = (
        [s for c in some if (s := trials.quick_pace(c)) is not None] for some in (teachers, pupils)
    )
    if not looks or not passes:
        return 0.0
    need = min(looks) / LOOKING + LEAST_PASSES * min(passes)
    if need <= SHARE * seconds:
        return SHARE * seconds
    trials.tell(
        f"{teachers[-1].name}: too large here, and no time for it to teach what it knows: that "
        f"takes {need / SHARE:.0f} s of training, and there are {seconds:.0f} s"
    )
    return 0.0


def teach(trials: Trials, teachers: list[Candidate], seconds: float) -> list[Candidate]:
    """Train the best networks of `trials` once more by the first of `teachers` for which there is
    time; the candidates that came of it. Raises Interrupted."""
    begun, made = trials.clock.spent, list[Candidate]()
    pupils = [t for t in trials.trained.values() if _can_be_taught(t.candidate.make)]
    pupils = [t for t in pupils if t.epochs and not t.model().is_frozen]
    teacher = _affordable(trials, teachers, seconds * LOOKING) if pupils else None
    logits = _answers(trials, teacher, seconds * LOOKING) if teacher else None
    if teacher is None or logits is None:
        return made
    for plain in sorted(pupils, key=lambda t: -t.score)[:PUPILS]:
        left = seconds - (trials.clock.spent - begun)
        if pupil := _taught(trials, plain, teacher.name, logits, left):
            made.append(pupil)
    return made


def _affordable(trials: Trials, teachers: list[Candidate], seconds: float) -> Candidate | None:
    needs = {c.name: trials.quick_pace(c) for c in teachers}
    for teacher in teachers:
        need = needs[teacher.name]
        if need is not None and need <= seconds:
            return teacher
    known = [need for need in needs.values() if need is not None]
    if known:
        trials.tell(
            f"{teachers[-1].name}: no time to learn from it: it looks at all pictures in "
            f"{min(known):.1f} s at least, and {seconds:.1f} s are left for that"
        )
    return None


def _answers(trials: Trials, teacher: Candidate, seconds: float) -> np.ndarray | None:
    """Its logits for the training part (N, K), remembered; None where it fails."""
    path = trials.folder / "teacher.npy"

    def learn() -> Any:
        trials.heart.doing(f"{teacher.name}: looking at all pictures, to teach what they are")
        try:
            known = teacher.model().fit(trials.data, seconds_limit=seconds).teacher
            assert known is not None  # teacher_of has asked
            logits = known.soft_answers(named(trials.data, "train")[0])
        except FAILURES as error:
            trials.tell(f"{teacher.name}: failed as a teacher: {error}")
            return False
        write_atomically(path, lambda scratch: _write(scratch, logits))
        trials.tell(f"{teacher.name}: too large here, it teaches what it knows")
        return True

    known = trials.journal.recall(f"teacher/{teacher.name}", learn)
    return np.load(path, allow_pickle=False) if known else None


def _write(path: Any, logits: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, logits, allow_pickle=False)


def _taught(
    trials: Trials, plain: Trained, teacher: str, logits: np.ndarray, seconds: float
) -> Candidate | None:
    """The network of `plain` with a teacher, in as many passes, or as time allows."""
    own = plain.candidate
    step = f"taught/{own.name}"
    pace = plain.seconds / plain.epochs
    passes = trials.journal.recall(step, lambda: min(plain.epochs, 0.9 * seconds / pace))
    if passes < FEWEST * plain.epochs:
        trials.tell(f"{own.name}: no time to be taught: {seconds:.1f} s are left")
        return None
    about = {name: getattr(own, name) for name in own.__dataclass_fields__}
    pupil = TaughtCandidate(**{**about, "name": f"{own.name}-taught"}, logits=logits)
    model = pupil.model()
    model.set_params(epochs=passes)
    entry = trials.train(pupil, 0, model, max(1.0, seconds))
    if entry is None:
        return None
    gained = entry.score - plain.score
    entry.taught = {
        "teacher": teacher,
        "without": own.name,
        "gained": gained,
        "passes": entry.epochs,
        "passes_without": plain.epochs,
    }
    trials.tell(f"{pupil.name}: {told_gain(entry.taught, entry.accuracy.unit)}")
    return pupil


def _can_be_taught(family: type) -> bool:
    """Whether it learns labels by gradient descent."""
    return issubclass(family, NetworkEstimator) and issubclass(family, Classifier)

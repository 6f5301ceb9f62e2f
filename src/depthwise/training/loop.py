"""The loop: every network of the library is trained here.

    epoch e visits the items in an order drawn from (seed, e);
    step  t draws its augmentation and dropout from (seed, t);
    an update turns one batch into a smaller loss;
    after each epoch the averaged weights are scored on the validation part, the best are kept.

Nothing random is carried from one step to the next, so a run killed at any moment and begun again
from its last checkpoint goes through the same numbers as one never killed: on a processor, with the
same thread count, bit for bit.

The holes in the loop are plain functions: `update(inputs, targets, progress) -> loss` (gradient
descent is `training.step.GradientUpdate`), `validate(network) -> scores`, higher is better, and
`watch(Event)`, which looks on and never steers.

Shapes: N items, B batch.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.checkpoint import moved, read_state, write_state
from depthwise.compute import (
    Compute,
    has_room,
    is_here,
    keep_freed_memory,
    own_randomness,
    seed_draws,
)
from depthwise.errors import DivergedError, InputError, ModelFileError
from depthwise.losses import Weighted
from depthwise.training.events import Event, Watch, finished, watching
from depthwise.training.pacing import Pace
from depthwise.training.run import look_in_time, time_left
from depthwise.training.step import Recipe, Update, WeightAverage

__all__ = [
    "Event",
    "History",
    "Watch",
    "finished",
    "look_in_time",
    "recorded_compute",
    "time_left",
    "train",
    "watching",
]


SLOW_STEP = 0.1  # of a limit: whether the next step still fits is asked before it is made
MOST_SCORING = 0.3  # of a limit that a validation is foretold to take
FORWARD_SHARE = 0.4  # of a training step's time that an item's answer takes
FIRST_STEPS, CUT_SECONDS = 5, 0.25  # before and between looks at whether the plan fits the limit


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


def train(
    network: nn.Module,
    update: Update,
    inputs: Tensor,
    targets: Tensor | Weighted,
    recipe: Recipe,
    *,
    compute: Compute,
    validate: Callable[[nn.Module], tuple[float, ...]] | None = None,
    watch: Callable[[Event], None] | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    seconds_limit: float | None = None,
    checkpoint_seconds: float = 20.0,
    held_out: int = 0,
    scorings: int = 1,
    visits: Tensor | None = None,
) -> History:
    """Train `network` in place; it ends with the best weights, or the last average.

    `inputs` (N, ...) stay in their own dtype (uint8 pixels) and are gathered by index; `targets`
    (N, ...), perhaps `losses.Weighted`. `visits` (N,): how often an item is visited beside the
    others, where its weight cannot stand in the loss. With a `checkpoint` path the run is
    resumable: a file from the same `fingerprint` is taken up where it stopped, one from another run
    is refused (ModelFileError), and the file of a finished run gives its result at once. Ctrl-C
    ends with the best so far. `seconds_limit`: the schedule is cut to the steps that fit, by the
    pace so far, with time left to go through the `held_out` items of the validation part
    `scorings` times. Raises DivergedError when the loss
    stops being finite.
    """
    if len(inputs) == 0:
        raise InputError("there is nothing to train on: inputs has 0 items.")
    loop = _Loop(network, update, inputs, targets, recipe, compute, validate, watch)
    loop.checkpoint, loop.fingerprint = checkpoint, fingerprint
    loop.seconds_limit, loop.checkpoint_seconds = seconds_limit, checkpoint_seconds
    loop.held_out, loop.scorings = held_out, scorings
    loop.visits = visits
    keep_freed_memory()
    with own_randomness(device=compute.device), compute.active():
        return loop.run()


class _Loop:
    checkpoint: Path | None
    fingerprint: str
    seconds_limit: float | None
    checkpoint_seconds: float
    held_out: int
    scorings: int
    visits: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        update: Update,
        inputs: Tensor,
        targets: Tensor | Weighted,
        recipe: Recipe,
        compute: Compute,
        validate: Callable[[nn.Module], tuple[float, ...]] | None,
        watch: Callable[[Event], None] | None,
    ):
        self.network, self.update, self.recipe, self.compute = network, update, recipe, compute
        self.inputs, self.targets = kept(inputs, compute.device), targets.to(compute.device)
        self.validate, self.watch = validate, watch
        # never a batch of one item: batch normalisation has nothing to compare it with
        self.steps_per_epoch = max(
            1, min(math.ceil(len(inputs) / recipe.batch_size), len(inputs) // 2)
        )
        self.planned = self.steps = max(1, round(recipe.epochs * self.steps_per_epoch))
        self.average = WeightAverage(network, horizon=recipe.average * self.steps)
        self.history = History(compute=compute.to_dict(), recipe=asdict(recipe))
        self.step = 0
        self.loss_sum = torch.zeros((), device=compute.device)
        self.pace = Pace(compute.device)
        self.best: dict[str, Tensor] | None = None
        self.best_scores: tuple[float, ...] = ()
        self.best_epoch = 0
        self.seconds_before = 0.0
        self.scoring_seconds: float | None = None  # that the latest validation took
        self.settled: float | None = None  # when the first steps were over
        self.begun = self.told = self.saved = self.cut = time.monotonic()

    # -- the run --------------------------------------------------------------------------------

    def run(self) -> History:
        self._resume()
        self.first_step = self.step
        try:
            while self.step < self.steps and not self._should_stop():
                self._epoch()
        except KeyboardInterrupt:
            self.history.stopped = "interrupted"
        if self.steps < self.planned and self.history.stopped == "finished":
            self.history.stopped = "time"
        self.history.steps, self.history.seconds = self.step, self.seconds
        if self.checkpoint and self.history.stopped != "interrupted":
            self._save()
        self.network.load_state_dict(self.best or self.average.network.state_dict())
        self.network.eval()
        return self.history

    def _epoch(self) -> None:
        epoch = self.step // self.steps_per_epoch
        self.network.train()
        for batch in self._batches(epoch, start=self.step % self.steps_per_epoch):
            seed_draws(_mix(self.recipe.seed, self.step), self.compute.device)
            items = self.inputs[batch].to(self.compute.device)
            loss = self.update(items, self.targets[batch], self.step / self.steps)
            self.average.update(self.step)
            self.loss_sum += loss
            self.step += 1
            self.pace()
            if self.step - self.first_step == FIRST_STEPS:
                self.settled = time.monotonic()
            self._cut_to_time()
            if self.step >= self.steps or self._out_of_time():
                break
            self._look_around()
            if self.step % self.steps_per_epoch:  # an epoch's last step is saved once it is closed
                self._save_now_and_then()
        self._close_epoch()
        self._save_now_and_then()

    def _batches(self, epoch: int, start: int) -> Iterator[Tensor]:
        """Index batches (B,) of one epoch: sizes differ by at most one, so none is a sliver."""
        generator = torch.Generator().manual_seed(_mix(self.recipe.seed, -1 - epoch))
        order = torch.randperm(len(self.inputs), generator=generator)
        if self.visits is not None:
            order = _drawn(self.visits, generator)[order]
        order = order.to(self.inputs.device)
        yield from order.tensor_split(self.steps_per_epoch)[start:]

    def _close_epoch(self) -> None:
        steps_done = (self.step - 1) % self.steps_per_epoch + 1
        loss = float(self.loss_sum) / steps_done
        self._check_finite(loss)
        self.loss_sum.zero_()
        scores = self._scores()
        record: dict[str, Any] = {"epoch": self.step / self.steps_per_epoch, "loss": loss}
        if scores:
            record["score"] = scores[0]
        self.history.epochs.append({**record, "seconds": self.seconds})
        self._shorten()
        if scores and (self.best is None or scores > self.best_scores):
            self.best = copy.deepcopy(self.average.network.state_dict())
            self.best_scores, self.best_epoch = scores, len(self.history.epochs)
        self._tell(loss)

    def _shorten(self) -> None:
        """Plan fewer passes where the losses so far show that the data is easy; see Recipe. The
        rest of the schedule is gone through faster, so that the learning rate comes down."""
        if self.recipe.enough is None:
            return
        passes, loss = self.recipe.enough
        low = [record["epoch"] for record in self.history.epochs if record["loss"] < loss]
        if low:
            steps = math.ceil(max(passes, 2 * low[0])) * self.steps_per_epoch
            self.planned = min(self.planned, steps)
            self.steps = min(self.steps, self.planned)

    @torch.no_grad()
    def _scores(self) -> tuple[float, ...]:
        if not self.validate:
            return ()
        begun = time.monotonic()
        scores = self.validate(self.average.network)
        self.scoring_seconds = time.monotonic() - begun
        return scores

    def _should_stop(self) -> bool:
        waited = len(self.history.epochs) - self.best_epoch
        if self.best is not None and self.recipe.patience and waited >= self.recipe.patience:
            self.history.stopped = "patience"
        elif self._out_of_time():
            self.history.stopped = "time"
        return self.history.stopped != "finished"

    # -- time, watching, trouble ------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.begun

    def _out_of_time(self) -> bool:
        """One step is always made: a network that never learnt is of no use to anybody."""
        if self.seconds_limit is None or self.step == 0:
            return False
        step = self._step_seconds()
        if step < SLOW_STEP * self.seconds_limit:
            return self.seconds + self._scoring() >= self.seconds_limit
        return self.seconds + self._scoring() + step >= (1 + SLOW_STEP) * self.seconds_limit

    def _scoring(self) -> float:
        """Seconds that the validation to come will take; before the first a guess."""
        if self.validate is None:
            return 0.0
        if self.scoring_seconds is not None:
            return self.scorings * self.scoring_seconds
        if self.seconds_limit is None or self.step - self.first_step < FIRST_STEPS:
            return 0.0  # the first steps are slow ones and foretell nothing
        batch_size = len(self.inputs) / self.steps_per_epoch
        once = FORWARD_SHARE * self._step_seconds() * self.held_out / batch_size
        return min(self.scorings * once, MOST_SCORING * self.seconds_limit)

    def _step_seconds(self) -> float:
        """Of this sitting, validation included; the first steps do not count, once there are
        others."""
        done = self.step - self.first_step
        if done > FIRST_STEPS and self.settled is not None:
            return (time.monotonic() - self.settled) / (done - FIRST_STEPS)
        return (time.monotonic() - self.begun) / max(1, done)

    def _cut_to_time(self) -> None:
        """Under a limit: as many of the planned steps as fit, by the pace so far, so that the
        learning rate has come down when the time is over."""
        now = time.monotonic()
        settled = self.step - self.first_step > FIRST_STEPS
        if self.seconds_limit is None or not settled or now - self.cut < CUT_SECONDS:
            return
        self.cut = now
        left = self.seconds_limit - self.seconds - self._scoring()
        fit = self.step + int(max(0.0, left) / self._step_seconds())
        self.steps = min(self.planned, max(fit, self.step))

    def _look_around(self) -> None:
        now = time.monotonic()
        if now - self.told >= 0.25:
            self.told = now
            mean_loss = float(self.loss_sum) / ((self.step - 1) % self.steps_per_epoch + 1)
            self._check_finite(mean_loss)
            self._tell(mean_loss)

    def _tell(self, loss: float) -> None:
        if self.watch is None:
            return
        done = self.step / self.steps_per_epoch
        rate = self.step / max(self.seconds, 1e-9)
        self.watch(
            Event(
                epoch=done,
                epochs=self.steps / self.steps_per_epoch,
                step=self.step,
                steps=self.steps,
                loss=loss,
                score=self.best_scores[0] if self.best_scores else None,
                items_per_second=rate * len(self.inputs) / self.steps_per_epoch,
                seconds=self.seconds,
                seconds_left=(self.steps - self.step) / rate if rate else math.inf,
            )
        )

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"training diverged: the loss became {loss} by step {self.step} of {self.steps}. "
                f"Lower lr from {self.recipe.lr:g} to {self.recipe.lr / 3:.1g}, or look for "
                "extreme values in the inputs (depthwise inspect)."
            )

    # -- kill and resume --------------------------------------------------------------------------

    def _save_now_and_then(self) -> None:
        if self.checkpoint and time.monotonic() - self.saved >= self.checkpoint_seconds:
            self._save()
            self.saved = time.monotonic()

    def _save(self) -> None:
        assert self.checkpoint is not None
        self.history.steps, self.history.seconds = self.step, self.seconds
        state = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "steps": self.steps,
            "network": self.network.state_dict(),
            "average": None if self.average.is_live else self.average.network.state_dict(),
            "update": self.update.state_dict(),
            "loss_sum": self.loss_sum,
            "best": self.best,
            "best_scores": list(self.best_scores),
            "best_epoch": self.best_epoch,
            "history": asdict(self.history),
        }
        write_state(self.checkpoint, state)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        state = read_state(self.checkpoint)
        if state.get("fingerprint") != self.fingerprint:
            raise ModelFileError(
                f"{self.checkpoint} belongs to a run with other data or settings. Delete it, "
                "or choose another folder."
            )
        self.step, self.steps = state["step"], state.get("steps", self.steps)
        self.network.load_state_dict(state["network"])
        if not self.average.is_live:
            self.average.network.load_state_dict(state["average"])
        self.update.load_state_dict(moved(state["update"], self.compute.device))
        self.loss_sum.copy_(state["loss_sum"])
        self.best, self.best_scores = state["best"], tuple(state["best_scores"])
        self.best_epoch = state["best_epoch"]
        self.history = History(**{**state["history"], "compute": self.compute.to_dict()})
        self._shorten()
        self.seconds_before = self.history.seconds


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


def kept(inputs: Tensor, device: str) -> Tensor:
    """The items of a run, on its device where they have room; else each batch is brought there."""
    return inputs.to(device) if has_room(device, inputs.nbytes) else inputs


def _drawn(visits: Tensor, generator: torch.Generator) -> Tensor:
    """N of N items, item i n_i or n_i + 1 times where N visits_i / sum visits lies between the two,
    and that often on average (systematic sampling, Madow 1949): int64 (N,), in order."""
    ends = visits.double().cumsum(0)
    ends *= len(visits) / ends[-1]
    ends[-1] = len(visits)
    marks = torch.arange(len(visits)) + torch.rand((), generator=generator, dtype=torch.float64)
    return torch.searchsorted(ends, marks, right=True).clamp(max=len(visits) - 1)


def _mix(seed: int, number: int) -> int:
    """A 64-bit seed from two integers, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + number * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)

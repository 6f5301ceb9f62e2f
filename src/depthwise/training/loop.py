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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.checkpoint import moved, read_state, write_state
from depthwise.compute import (
    Compute,
    keep_freed_memory,
    own_randomness,
    seed_draws,
)
from depthwise.errors import DivergedError, InputError, ModelFileError
from depthwise.losses import Weighted
from depthwise.training.events import Event, Watch, finished, watching
from depthwise.training.history import History, recorded_compute
from depthwise.training.pacing import Pace, StepClock
from depthwise.training.run import look_in_time, time_left
from depthwise.training.step import Recipe, Update, WeightAverage
from depthwise.training.time_limit import TimeLimit
from depthwise.training.visits import mixed, on_device_if_room, visiting_order

__all__ = [
    "Event", "History", "Watch", "finished", "look_in_time", "recorded_compute", "time_left",
    "train", "watching",
]  # fmt: skip


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
    about = (network, update, inputs, targets, recipe, compute, validate, watch)
    limits = (seconds_limit, checkpoint_seconds, held_out, scorings)
    loop = _Loop(*about, checkpoint, fingerprint, *limits, visits)
    keep_freed_memory()
    with own_randomness(device=compute.device), compute.active():
        loop.begin()
        try:
            while loop.goes_on():
                for items, wanted, progress in loop.batches():
                    loss = update(items, wanted, progress)
                    if loop.ends_with_step(loss):
                        break
                loop.close_epoch()
        except KeyboardInterrupt:
            loop.history.stopped = "interrupted"
        return loop.finish()


@dataclass
class _Loop:
    """One call of `train`, with its arguments."""

    network: nn.Module
    update: Update
    inputs: Tensor
    targets: Tensor | Weighted
    recipe: Recipe
    compute: Compute
    validate: Callable[[nn.Module], tuple[float, ...]] | None
    watch: Watch | None
    checkpoint: Path | None
    fingerprint: str
    seconds_limit: float | None
    checkpoint_seconds: float
    held_out: int
    scorings: int
    visits: Tensor | None

    def __post_init__(self) -> None:
        recipe, device = self.recipe, self.compute.device
        self.inputs = on_device_if_room(self.inputs, device)
        self.targets = self.targets.to(device)
        # never a batch of one item: batch normalisation has nothing to compare it with
        self.steps_per_epoch = max(
            1, min(math.ceil(len(self.inputs) / recipe.batch_size), len(self.inputs) // 2)
        )
        self.planned = self.steps = max(1, round(recipe.epochs * self.steps_per_epoch))
        self.average = WeightAverage(self.network, horizon=recipe.average * self.steps)
        self.history = History(compute=self.compute.to_dict(), recipe=asdict(recipe))
        self.step = 0
        self.loss_sum = torch.zeros((), device=device)
        self.pace, self.clock = Pace(device), StepClock()
        self.best: dict[str, Tensor] | None = None
        self.best_scores: tuple[float, ...] = ()
        self.best_epoch = 0
        self.seconds_before = 0.0
        self.begun = self.told = self.saved = time.monotonic()
        scorings = self.scorings if self.validate else 0
        batches = self.held_out * self.steps_per_epoch / len(self.inputs)
        self.limit = TimeLimit(self.seconds_limit, self.clock, scorings, batches)

    # -- the run --------------------------------------------------------------------------------

    def begin(self) -> None:
        """From the checkpoint's step, where there is one."""
        self._resume()
        self.clock.begin()

    def goes_on(self) -> bool:
        return self.step < self.steps and not self._should_stop()

    def batches(self) -> Iterator[tuple[Tensor, Tensor | Weighted, float]]:
        """Of this epoch those that are left: items (B, ...) and targets (B, ...), and how much of
        the run lies behind; the step's own randomness is ready."""
        epoch, start = divmod(self.step, self.steps_per_epoch)
        self.network.train()
        for batch in self._order(epoch)[start:]:
            seed_draws(mixed(self.recipe.seed, self.step), self.compute.device)
            items = self.inputs[batch].to(self.compute.device)
            yield items, self.targets[batch], self.step / self.steps

    def _order(self, epoch: int) -> tuple[Tensor, ...]:
        """Index batches (B,) of one epoch: sizes differ by at most one, so none is a sliver."""
        order = visiting_order(len(self.inputs), mixed(self.recipe.seed, -1 - epoch), self.visits)
        return order.to(self.inputs.device).tensor_split(self.steps_per_epoch)

    def ends_with_step(self, loss: Tensor) -> bool:
        """Whether the epoch is over, or the time, with the step that had this loss."""
        self.average.update(self.step)
        self.loss_sum += loss
        self.step += 1
        self.pace()
        self.clock.step()
        self._cut_to_time()
        if self.step >= self.steps or self._out_of_time():
            return True
        self._look_around()
        if self.step % self.steps_per_epoch:  # an epoch's last step is saved once it is closed
            self._save_now_and_then()
        return False

    def close_epoch(self) -> None:
        self._close_epoch()
        self._save_now_and_then()

    def finish(self) -> History:
        """The network has the best weights, or the last average; the checkpoint the result."""
        if self.steps < self.planned and self.history.stopped == "finished":
            self.history.stopped = "time"
        self.history.steps, self.history.seconds = self.step, self.seconds
        if self.checkpoint and self.history.stopped != "interrupted":
            self._save()
        self.network.load_state_dict(self.best or self.average.network.state_dict())
        self.network.eval()
        return self.history

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
        self.limit.scoring_seconds = time.monotonic() - begun
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
        return self.step > 0 and self.limit.is_over(self.seconds)

    def _cut_to_time(self) -> None:
        """Under a limit: as many of the planned steps as fit, so that the learning rate has come
        down when the time is over."""
        left = self.limit.steps_left(self.seconds)
        if left is not None:
            self.steps = min(self.planned, self.step + left)

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
        self.watch(
            Event.at(
                self.step,
                self.steps,
                self.seconds,
                loss=loss,
                score=self.best_scores[0] if self.best_scores else None,
                items=len(self.inputs),
                steps_per_epoch=self.steps_per_epoch,
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

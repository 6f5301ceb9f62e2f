"""Training in several stages, one after another: each by the loop, resumable, within its time.

    stages.plan({"rbm-1": 1, "rbm-2": 1, "fine-tune": 4})    relative costs, once
    stages.run("rbm-1", update, recipe)                      and so on, in this order

inside `with Stages(model, network, data, run) as stages:`.

Stage s keeps its own checkpoint file beside the one that was given, so that a run killed in stage 3
takes stages 1 and 2 from their finished files and goes on in the third, bit for bit. Under a limit
of seconds every stage has its planned share of what is left, and its epochs are cut to what fits:
a schedule that ends in time is better than one that is cut off.

Shapes: N items, B batch.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from depthwise.checkpoint import read_state
from depthwise.compute import (
    Compute,
    own_randomness,
    seed_draws,
    synchronise,
)
from depthwise.data.inputs import as_tensor
from depthwise.errors import ModelFileError
from depthwise.losses import Weighted
from depthwise.training.compute_for import compute_for
from depthwise.training.events import Event, Watch
from depthwise.training.history import History, recorded_compute
from depthwise.training.loop import train
from depthwise.training.run import Run
from depthwise.training.step import Recipe, Update
from depthwise.training.training_data import TrainingData
from depthwise.training.visits import on_device_if_room

__all__ = ["Interrupted", "Stages", "stage_file", "stage_files"]

MARGIN = 0.85  # of a stage's share of the time that its steps are planned to take
WARM_STEPS, PACE_SECONDS = 2, 0.15  # how the pace of a stage is taken


class Interrupted(Exception):
    """Ctrl-C in a stage: what follows it is not begun."""


def stage_file(checkpoint: Path, name: str) -> Path:
    """checkpoint.safetensors, "rbm-1" -> checkpoint.rbm-1.safetensors."""
    return checkpoint.with_name(f"{checkpoint.stem}.{name}{checkpoint.suffix}")


def stage_files(checkpoint: Path) -> list[Path]:
    """The files of all stages that there are beside `checkpoint`, and itself."""
    beside = checkpoint.parent.glob(f"{checkpoint.stem}.*{checkpoint.suffix}")
    return sorted({path for path in (checkpoint, *beside) if path.is_file()})


class Staged(Protocol):
    """What a fit in stages asks of the model that is fitted."""

    device: str
    precision: str
    threads: int | str
    verbose: bool
    data_fingerprint_: str

    @property
    def precisions(self) -> tuple[str, ...]: ...
    @property
    def family(self) -> str: ...
    def _seed(self) -> int: ...
    def get_params(self, deep: bool = True) -> dict[str, Any]: ...


class Stages:
    """One fit of `model` in stages.

    network: what is trained, taken to where it is computed and back; inputs: raw items (N, ...) as
    a tensor; labels: (N,) int64 or None; held_out: (inputs, targets) arrays or None; compute: how
    to calculate; more: True in `partial_fit`, which makes one pass. The data's weights say how
    often an item is visited beside the others.
    """

    def __init__(
        self,
        model: Staged,
        network: nn.Module,
        data: TrainingData,
        run: Run,
        *,
        more: bool = False,
    ):
        self.model, self.network, self.held_out, self.more = model, network, data.held_out, more
        self.inputs = as_tensor(data.inputs)
        self.labels = None if data.targets is None else torch.from_numpy(data.targets)
        self.visits = None if data.weights is None else torch.from_numpy(data.weights)
        self.checkpoint, self.seconds_limit = run.checkpoint, run.seconds_left
        self.begun, self.seed = time.monotonic(), model._seed()
        self.shares: dict[str, float] = {}
        self.done: dict[str, History] = {}
        self.compute = self._compute()
        self.watched = run.watched(model.family, model.verbose)

    def __enter__(self) -> Self:
        """The network goes to where it is trained."""
        self.compute.place(self.network)
        self.watch = self.watched.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        Compute().place(self.network)
        self.watched.__exit__(*error)

    def plan(self, shares: Mapping[str, float]) -> None:
        """Relative costs of the stages to come: their shares of the time, where it is limited."""
        self.shares = dict(shares)

    def run(
        self,
        name: str,
        update: Update,
        recipe: Recipe,
        *,
        network: nn.Module | None = None,
        validate: Callable[[nn.Module], tuple[float, ...]] | None = None,
        inputs: Tensor | None = None,
        targets: Tensor | Weighted | None = None,
        held_out: int = 0,
        scorings: int = 1,
    ) -> History:
        """One stage: `network` (by default the whole) learns by `update` from `inputs` (the raw
        items) and `targets` (the labels, zeros where there are none). `held_out` items are gone
        through `scorings` times at the end.

        Raises Interrupted after Ctrl-C, DivergedError when the loss stops being finite.
        """
        network = self.network if network is None else network
        inputs = self.inputs if inputs is None else inputs
        targets = self._targets(inputs) if targets is None else targets
        path = None if self.checkpoint is None else stage_file(self.checkpoint, name)
        seconds = self._seconds(name)
        fingerprint = self._fingerprint(name, recipe, network) if path else ""
        if seconds is not None:
            recipe = self._within(seconds, path, update, recipe, inputs, targets)
        history = train(
            network,
            update,
            inputs,
            targets,
            recipe,
            compute=self.compute,
            validate=validate,
            watch=self._watching(name),
            checkpoint=path,
            fingerprint=fingerprint,
            seconds_limit=seconds,
            held_out=held_out,
            scorings=scorings,
            visits=self._visits(inputs),
        )
        self.done[name] = history
        if history.stopped == "interrupted":
            raise Interrupted(name)
        return history

    def history(self) -> dict[str, Any]:
        """All stages as one: records of epochs that count on, each with the name of its stage."""
        records, epochs, seconds = [], 0.0, 0.0
        for name, history in self.done.items():
            for record in history.epochs:
                told = {"epoch": record["epoch"] + epochs, "seconds": record["seconds"] + seconds}
                records.append({**record, **told, "stage": name})
            epochs += history.epochs[-1]["epoch"] if history.epochs else 0.0
            seconds += history.seconds
        stops = [history.stopped for history in self.done.values()]
        return {
            "epochs": records,
            "stopped": next((stop for stop in stops if stop != "finished"), "finished"),
            "steps": sum(history.steps for history in self.done.values()),
            "seconds": seconds,
            "compute": self.compute.to_dict(),
            "recipe": {name: history.recipe for name, history in self.done.items()},
        }

    # -- time -----------------------------------------------------------------------------------

    @property
    def seconds_used(self) -> float:
        """Of the limit: all since the stages began, what lies between them included; of a run taken
        up again at least what its finished stages took."""
        trained = sum(history.seconds for history in self.done.values())
        return max(trained, time.monotonic() - self.begun)

    def _seconds(self, name: str) -> float | None:
        """This stage's share of what is left of the limit."""
        if self.seconds_limit is None:
            return None
        left = max(0.0, self.seconds_limit - self.seconds_used)
        ahead = sum(share for other, share in self.shares.items() if other not in self.done)
        share = self.shares.get(name)
        return left if share is None or ahead <= 0 else left * share / ahead

    def _within(
        self,
        seconds: float,
        path: Path | None,
        update: Update,
        recipe: Recipe,
        inputs: Tensor,
        targets: Tensor | Weighted,
    ) -> Recipe:
        """The recipe with no more epochs than fit; of a run taken up again, as it was planned."""
        if path is not None and path.exists():
            try:
                return replace(recipe, epochs=read_state(path)["history"]["recipe"]["epochs"])
            except (KeyError, TypeError):
                raise ModelFileError(
                    f"{path} is not a checkpoint. Delete it to start again."
                ) from None
        steps = -(-len(inputs) // recipe.batch_size)
        pace = steps * self._step_seconds(update, recipe, inputs, targets)
        return replace(recipe, epochs=min(recipe.epochs, max(1 / steps, MARGIN * seconds / pace)))

    def _step_seconds(
        self, update: Update, recipe: Recipe, inputs: Tensor, targets: Tensor | Weighted
    ) -> float:
        """Mean time of a step as the loop takes it, on a copy; the first ones of a process are
        slow ones and do not count."""
        trial = copy.deepcopy(update)
        taken: list[float] = []
        device = self.compute.device
        x, y = on_device_if_room(inputs, device), targets.to(device)
        with own_randomness(device=device), self.compute.active():
            while len(taken) < WARM_STEPS + 4 or sum(taken) < PACE_SECONDS:
                started = time.perf_counter()
                seed_draws(len(taken), device)
                batch = torch.randint(len(x), (min(len(x), recipe.batch_size),)).to(x.device)
                float(trial(x[batch].to(device), y[batch], 0.0))
                synchronise(device)
                taken.append(time.perf_counter() - started)
        counted = taken[WARM_STEPS:]
        return sum(counted) / len(counted)

    # -- what a stage is given ------------------------------------------------------------------

    def _targets(self, inputs: Tensor) -> Tensor:
        if self.labels is not None and len(self.labels) == len(inputs):
            return self.labels
        return torch.zeros(len(inputs), dtype=torch.int64)

    def _visits(self, inputs: Tensor) -> Tensor | None:
        """Of a stage that learns from all items or from what was made of each."""
        return None if self.visits is None or len(inputs) != len(self.visits) else self.visits

    def _watching(self, name: str) -> Watch | None:
        return None if self.watch is None else partial(self._pass_on, self.watch, name)

    def _pass_on(self, watch: Watch, name: str, event: Event) -> None:
        """Call `watch` with a stage's event as one of the whole run."""
        before, left = self._epochs_done(), self._seconds_left(name, event)
        stage = name if len(self.shares) > 1 else ""
        epoch, epochs = event.epoch + before, event.epochs + before
        watch(replace(event, epoch=epoch, epochs=epochs, seconds_left=left, stage=stage))

    def _seconds_left(self, name: str, event: Event) -> float:
        """Of this stage, and of those ahead by their planned shares and what the shares so far
        take; no more than a limit leaves."""
        share, left = self.shares.get(name), event.seconds_left
        if share is not None:
            known = {name, *self.done}
            so_far = sum(s for other, s in self.shares.items() if other in known)
            ahead = sum(self.shares.values()) - so_far
            spent = sum(h.seconds for h in self.done.values()) + event.seconds + event.seconds_left
            left += ahead * spent / so_far if so_far else 0.0
        if self.seconds_limit is None:
            return left
        return min(left, max(0.0, self.seconds_limit - self.seconds_used))

    def _epochs_done(self) -> float:
        return sum(h.epochs[-1]["epoch"] for h in self.done.values() if h.epochs)

    def _fingerprint(self, name: str, recipe: Recipe, network: nn.Module) -> str:
        """What makes two stages the same: settings, data, and the weights they begin with."""
        digest = hashlib.sha256(f"{name}|{recipe}|{_settings(self.model)}".encode())
        digest.update(self.model.data_fingerprint_.encode())
        for key, tensor in network.state_dict().items():
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
        return digest.hexdigest()

    # -- how to calculate -----------------------------------------------------------------------

    def _compute(self) -> Compute:
        """As the run that is taken up was computed; else as set; else by measuring."""
        files = stage_files(self.checkpoint) if self.checkpoint else []
        recorded = recorded_compute(files[0], self.model.device) if files else None
        return recorded or compute_for(self.model, self.network)


def _settings(model: Staged) -> dict[str, Any]:
    ways = ("verbose", "device", "precision", "threads")
    return {k: v for k, v in model.get_params(deep=False).items() if k not in ways}

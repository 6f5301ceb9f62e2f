"""Faces: an embedding learnt with an angular margin, and a gallery of people who are recognised.

    people = FaceRecognizer().fit(X, y)            X (N, C, H, W) aligned faces, y who they show
    people.enroll("Ann", pictures)                 one vector a person is kept, no picture
    people.identify(X)                             names, "unknown" for strangers
    people.verify(a, b)                            is it the same person?
    people.forget("Ann")                           gone from memory, and from the folder by save

The mathematics of the loss is in network.py, of the gallery in gallery.py, of the rates
in scores.py. Whoever is enrolled need not have been trained on. The threshold above which two
faces are one person is the lowest at which at most `false_accept_rate` of the pairs of different
people are accepted, on held-out people.

Shapes: N images, C channels, H W image, E embedding, K people trained on, P people enrolled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone
from depthwise.data.inputs import check_labels
from depthwise.errors import DivergedError, InputError
from depthwise.models.abilities import RecognizesPeople
from depthwise.models.estimator import class_order, columns_of, dataset_parts
from depthwise.models.supervised import Classifier
from depthwise.settings import no_setting, settings
from depthwise.tasks.backbone_estimator import BackboneEstimator
from depthwise.tasks.faces.gallery import Gallery, checked_people
from depthwise.tasks.faces.network import LOSSES, FaceNetwork, face_augmenter, margin_loss
from depthwise.tasks.faces.scores import (
    assessment,
    equal_error_rate,
    pair_similarities,
    threshold_at,
    true_accept_rate,
)
from depthwise.training.run import Run, look_in_time
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["FaceRecognizer"]

FEWEST_PEOPLE = 20  # below, none is held out
EMBEDDED_AT_ONCE = 64


class Rung(NamedTuple):
    """One size: the backbone, and E."""

    backbone: str
    n_embedding: int


SIZES: dict[str, Rung] = {
    "xs": Rung("residual-xs", 64),
    "s": Rung("residual-s", 128),
    "m": Rung("residual-m", 128),
    "l": Rung("residual-l", 192),
}


@settings
class FaceRecognizer(Gallery, BackboneEstimator, Classifier):
    """Tells people apart by their faces: aligned images (N, C, H, W), all of one size.

    `predict` and `predict_proba` speak of the people trained on; `identify` of those enrolled.

    Parameters
    ----------
    size : a rung of the ladder, "xs" (0.1 million weights) .. "l" (3 million).
    backbone, freeze, backbone_rate : another backbone than the rung's, as in `BackboneEstimator`.
    n_embedding : E in place of the rung's, 32 .. 512.
    loss : "arcface" or "cosface".
    margin : radians for ArcFace, 0.1 .. 0.5; a cosine for CosFace, 0.1 .. 0.4.
    scale : s, 16 .. 64; the more people the larger.
    dropout : share of the backbone's embedding silenced in training, 0 .. 0.5.
    mirror : whether an embedding is that of the picture and its mirror image together, which
        takes twice as long and errs less.
    false_accept_rate : share of pairs of two people taken for one, at which the threshold is put.
    validation_fraction : share of the people held out for the threshold and the best epoch, where
        there are at least 20 and no validation data was given.
    augment : "auto" turns, moves, mirrors and covers faces a little; None; or as in `CNN`.
    epochs, batch_size, lr, optimizer, schedule, weight_decay, clip_norm, average, patience,
    label_smoothing, warm_start, random_state, device, precision, threads, verbose : as in `DNN`.

    Attributes: enrolled_ (names -> number of pictures), threshold_, verification_ (rates at the
    threshold, and on whom they were measured), classes_ (people trained on).
    """

    scored_after: ClassVar[int] = 1
    family: ClassVar[str] = "faces"
    weighs_items: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("faces",)
    sizes: ClassVar[dict[str, Rung]] = SIZES
    verification_: dict[str, Any] = no_setting()

    size: str = "s"
    freeze: int | str = 0
    n_embedding: int | None = None
    loss: str = "arcface"
    margin: float = 0.3
    scale: float = 24.0
    dropout: float = 0.2
    mirror: bool = True
    false_accept_rate: float = 0.01
    augment: str | tuple[str, ...] | None = "auto"
    lr: float = 1e-2
    average: float = 0.03
    label_smoothing: float = 0.0
    validation_fraction: float = 0.1
    warm_start: bool = False
    class_weight: None = no_setting(default=None)
    metric: None = no_setting(default=None)

    def transform(self, X: Any, layer: int | None = None) -> np.ndarray:
        """Embeddings (N, E) of length 1; or what a layer makes of X, as in other families."""
        if layer is not None:
            return super().transform(X, layer)
        check_is_fitted(self, "network_")
        return self._embeddings(self._take(X, reset=False)[0])

    def calibrate(self, X: Any, y: Any, false_accept_rate: float | None = None) -> Self:
        """Put the threshold where at most `false_accept_rate` (by default the setting's) of the
        pairs of different people in X, y are accepted: people who were not trained on."""
        check_is_fitted(self, "network_")
        images = self._take(X, reset=False)[0]
        people = np.unique(check_labels(y, len(images)), return_inverse=True)[1]
        rate = self.false_accept_rate if false_accept_rate is None else false_accept_rate
        self._put_threshold(images, people, "given", rate)
        return self

    @property
    def recognizer(self) -> RecognizesPeople | None:
        return self

    def assess(self, X: Any, y: Any) -> dict[str, Any]:
        """How well pairs of these images are told apart, who need not have been trained on.

        "value" is 1 - EER: the accuracy where as many pairs of one person are refused as pairs of
        two are accepted, whatever the threshold; "low" and "high" its 95% interval, by drawing
        people anew. The rest: scores.py. `score` is of the people trained on instead.
        """
        check_is_fitted(self, "network_")
        images = self._take(X, reset=False)[0]
        people = check_labels(y, len(images))
        rate = self.false_accept_rate
        return assessment(self._embeddings(images), people, self.threshold_, rate, self._seed())

    # -- learning -------------------------------------------------------------------------------

    def stand(self, below: Backbone, n_outputs: int) -> nn.Module:
        return FaceNetwork(
            below,
            SIZES[self.size].n_embedding if self.n_embedding is None else int(self.n_embedding),
            n_outputs,
            enrolled=len(getattr(self, "enrolled_", ())),
            scale=float(self.scale),
            dropout=self.dropout,
        )

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        self.enrolled_ = {}
        return super()._new_network(inputs, targets)

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        return partial(
            margin_loss,
            scale=float(self.scale),
            margin=float(self.margin),
            kind=self.loss,
            smoothing=self.label_smoothing,
        )

    def _augmenter(self) -> Callable[[Tensor], Tensor]:
        if self.augment == "auto":
            return face_augmenter(self.input_shape_)
        return super()._augmenter()

    def _parts(self, X: Any, y: Any, validation: tuple[Any, Any] | None) -> Any:
        """As in every family, but the people of the validation part may be others; that of a
        Dataset is not used unless they are, and can be compared."""
        columns = split = order = None
        was_given = validation is not None
        if hasattr(X, "train") and y is None:
            columns, split = columns_of(X), getattr(X, "split_marks", None)
            order = class_order(X)
            X, y, validation = dataset_parts(X, validation)
        inputs, labels, _ = super()._parts(X, y, None)
        self.columns_, self.split_, self.class_order_ = columns, split, order
        if validation is None or labels is None:
            return inputs, labels, None
        images = self._take(validation[0], reset=False)[0]
        people = self._numbered(check_labels(validation[1], len(images)))
        strangers = people.min() >= self.n_outputs and len(np.unique(people)) < len(people)
        return inputs, labels, (images, people) if was_given or strangers else None

    def _numbered(self, people: np.ndarray) -> np.ndarray:
        """(N,) int64: the place in `classes_` of people trained on, from K on for strangers."""
        names, who = np.unique(people, return_inverse=True)
        places = self.n_outputs + np.arange(len(names))
        known = np.isin(names, self.classes_)
        places[known] = np.searchsorted(self.classes_, names[known])
        numbers: np.ndarray = places[who]
        return numbers

    def _hold_out(self, data: TrainingData) -> TrainingData:
        """`validation_fraction` of the people, with all their images; nobody where there are few
        people, or where none of those held out has two images."""
        people = data.targets
        pictures = np.bincount(people)
        drawn = np.random.default_rng(self._seed()).permutation(len(pictures))
        out = np.isin(people, drawn[: round(self.validation_fraction * len(pictures))])
        if len(pictures) < FEWEST_PEOPLE or not (pictures[np.unique(people[out])] > 1).any():
            return data
        kept, labels = np.unique(people[~out], return_inverse=True)
        self.classes_ = self.classes_[kept]
        held_out = data.inputs[out], len(kept) + people[out]
        return replace(data.at(~out), targets=labels.astype(np.int64), held_out=held_out)

    def _train(self, data: TrainingData, run: Run) -> None:
        self._require_nobody()
        super()._train(data, run)
        strangers = data.held_out is not None and data.held_out[1].min() >= self.n_outputs
        measured_on = "held out" if strangers else "trained on"
        rate = self.false_accept_rate
        self._put_threshold(*data.scored, measured_on, rate, run.seconds_left)

    def _train_once_more(self, data: TrainingData, recipe: Recipe) -> None:
        self._require_nobody()
        super()._train_once_more(data, recipe)
        if len(np.unique(data.targets)) > 1:
            rate = self.false_accept_rate
            self._put_threshold(data.inputs, data.targets, "trained on", rate)

    def _require_nobody(self) -> None:
        if self.enrolled_:
            raise InputError(
                f"{len(self.enrolled_)} people are enrolled, and learning more would move faces "
                "away from where they were. Forget them, learn, and enroll them again."
            )

    def _put_threshold(
        self,
        images: np.ndarray,
        people: np.ndarray,
        measured_on: str,
        rate: float,
        seconds: float | None = None,
    ) -> None:
        """From the images that `seconds` suffice for, people drawn at random; None: from all."""
        order = np.arange(len(images))
        if seconds is not None:  # a person's images one after the other: pairs of one are needed
            drawn = np.random.default_rng(0).permutation(int(people.max()) + 1)
            order = np.argsort(drawn[people], kind="stable")
        embedded, places = look_in_time(
            order,
            len(images) if seconds is None else EMBEDDED_AT_ONCE,
            lambda part: self._embeddings(images[part]),
            seconds,
            enough=lambda done: len(np.unique(people[done])) >= FEWEST_PEOPLE,
        )
        same, different = pair_similarities(np.concatenate(embedded), people[places], self._seed())
        self.threshold_ = threshold_at(rate, different)
        accepted = true_accept_rate(rate, same, different)
        self.verification_ = {
            "false_accept_rate": float(rate),
            "true_accept_rate": accepted if len(same) else None,
            "pairs_of_one": len(same),
            "pairs_of_two": len(different),
            "people": measured_on,
        }

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(1 - EER, TAR at the stated FAR) on pairs of the held-out images."""
        pairs = pair_similarities(self._embeddings(inputs, network), targets, self._seed())
        if not all(map(len, pairs)):
            raise InputError("validation needs two images of one person, and two people.")
        return 1 - equal_error_rate(*pairs), true_accept_rate(self.false_accept_rate, *pairs)

    # -- saving ---------------------------------------------------------------------------------

    def describe_network(self) -> dict[str, Any]:
        return {
            **super().describe_network(),
            "enrolled": self.enrolled_,
            "threshold": self.threshold_,
            "verification": self.verification_,
        }

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.enrolled_ = checked_people(description["enrolled"])
        self.threshold_ = float(description["threshold"])
        self.verification_ = dict(description["verification"])
        return super().rebuild(description)

    # -- inside ---------------------------------------------------------------------------------

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        known = " or ".join(map(repr, LOSSES))
        self._require("loss", self.loss in LOSSES, known)
        self._require("margin", 0 <= self.margin < 1.5, "0 .. 1.5, say 0.3")
        self._require("scale", self.scale > 0, "above 0, say 24")
        self._require("dropout", 0 <= self.dropout < 1, "in [0, 1)")
        whole = self.n_embedding is None or self.n_embedding > 0
        self._require("n_embedding", whole, "at least 1, or None")
        self._require("false_accept_rate", 0 < self.false_accept_rate < 1, "in (0, 1), say 0.01")

    def _embeddings(self, images: np.ndarray, network: nn.Module | None = None) -> np.ndarray:
        """Unit embeddings (N, E)."""
        embedded = self._rows(images, self._embed, network).numpy()
        if not np.isfinite(embedded).all():
            raise DivergedError("an embedding is not a number. Fit again with a lower lr.")
        return embedded

    def _embed(self, network: Any, x: Tensor) -> Tensor:
        embedded: Tensor = network.embed(x)
        if not self.mirror:
            return embedded
        return functional.normalize(embedded + network.embed(x.flip(3)))

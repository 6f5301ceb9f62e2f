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
from depthwise.models.datasets import class_order, columns_of, dataset_parts, is_dataset
from depthwise.models.supervised import Classifier
from depthwise.settings import no_setting, number, one_of, setting, settings
from depthwise.tasks.backbone_estimator import BackboneEstimator
from depthwise.tasks.faces.gallery import (
    Gallery,
    checked_name,
    checked_people,
    known_row,
    without,
)
from depthwise.tasks.faces.network import LOSSES, FaceNetwork, face_augmenter, margin_loss
from depthwise.tasks.faces.people import FEWEST_PEOPLE, hold_out_people, numbered_people
from depthwise.tasks.faces.scores import (
    assessment,
    equal_error_rate,
    pair_similarities,
    rates_of,
    threshold_at,
    true_accept_rate,
)
from depthwise.training.run import Run, look_in_time
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["FaceRecognizer"]

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
class FaceRecognizer(BackboneEstimator, Classifier):
    """Recognises people by their faces: aligned images (N, C, H, W), all of one size.

    `predict` and `predict_proba` speak of the people trained on; `identify` of those enrolled.

    Attributes: enrolled_ (names -> number of pictures), threshold_, verification_ (rates at the
    threshold, and on whom they were measured), classes_ (people trained on).
    """

    scored_after: ClassVar[int] = 1
    family: ClassVar[str] = "faces"
    weighs_items: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("faces",)
    sizes: ClassVar[dict[str, Rung]] = SIZES
    enrolled_: dict[str, int] = no_setting()
    threshold_: float = no_setting()
    verification_: dict[str, Any] = no_setting()

    size: str = setting(default="s", doc='"xs" (0.1 million weights) .. "l" (3 million)')
    freeze: int | str = 0
    n_embedding: int | None = None
    loss: str = setting(default="arcface", range=one_of(*LOSSES), doc="the margin loss")
    margin: float = setting(
        default=0.3,
        range=number("[0, 1.5)", usual=(0.1, 0.5)),
        doc="radians for ArcFace; a cosine for CosFace",
    )
    scale: float = setting(
        default=24.0, range=number("(0, inf)", usual=(16, 64)), doc="s; the more people the larger"
    )
    dropout: float = setting(
        default=0.2, doc="share of the backbone's embedding silenced in training"
    )
    mirror: bool = setting(
        default=True,
        range=one_of(True, False),
        doc="whether an embedding is that of the picture and its mirror image together, which "
        "takes twice as long and errs less",
    )
    false_accept_rate: float = setting(
        default=0.01,
        range=number("(0, 1)", usual=(0.001, 0.1)),
        doc="share of pairs of two people taken for one, at which the threshold is put",
    )
    augment: str | tuple[str, ...] | None = setting(
        default="auto",
        doc='"auto" turns, moves, mirrors and covers faces a little; None; or as in `CNN`',
    )
    lr: float = 1e-2
    average: float = 0.03
    label_smoothing: float = 0.0
    validation_fraction: float = setting(
        default=0.1,
        doc="share of the people held out for the threshold and the best epoch, where there are "
        "at least 20 and no validation data was given",
    )
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
        """How well it verifies pairs of these images, of people not necessarily trained on.

        "value" is 1 - EER: the accuracy where as many pairs of one person are refused as pairs of
        two are accepted, whatever the threshold; "low" and "high" its 95% interval, by drawing
        people anew. The rest: scores.py. `score` is of the people trained on instead.
        """
        check_is_fitted(self, "network_")
        images = self._take(X, reset=False)[0]
        people = check_labels(y, len(images))
        rate = self.false_accept_rate
        return assessment(self._embeddings(images), people, self.threshold_, rate, self._seed())

    # -- who is enrolled --------------------------------------------------------------------------

    def enroll(self, name: str, images: Any, *, add: bool = False) -> Self:
        """Remember a person by pictures (N, C, H, W), or one (C, H, W). `add`: more pictures of
        somebody who is enrolled, refused where they look like another person.

        Raises InputError for no picture, or for a name that somebody has already.
        """
        pictures, name = self._pictures(images, f"enroll({name!r})"), checked_name(name)
        self._keep(self._gallery.with_person(name, self._embeddings(pictures), add=add))
        return self

    def identify(self, images: Any) -> np.ndarray:
        """Names (N,) of the people enrolled, "unknown" for strangers. Raises InputError where
        nobody is enrolled."""
        return self._gallery.names_of(self.similarities(images))

    def similarities(self, images: Any) -> np.ndarray:
        """Cosines (N, P) of images with the people enrolled, in the order of `enrolled_`."""
        self._gallery.require_people()
        return self._gallery.similarities(self._embeddings(self._pictures(images, "identify")))

    def verify(self, a: Any, b: Any) -> np.ndarray:
        """Whether a[i] and b[i] show one person, (N,) bool; images (N, C, H, W) or (C, H, W)."""
        return self.similarity(a, b) > self.threshold_

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Cosines (N,) of the embeddings of a[i] and b[i]."""
        left, right = (self._pictures(images, "verify") for images in (a, b))
        if len(left) != len(right):
            raise InputError(
                f"verify compares as many with as many; got {len(left)}, {len(right)}."
            )
        return (self._embeddings(left) * self._embeddings(right)).sum(axis=1)

    def forget(self, name: str) -> Self:
        """Remove a person for good: from the gallery and from the people trained on.

        `save` into the model's folder removes them there too. What the network's weights learnt
        from pictures of many people stays as it is; train again without theirs to undo that too.
        """
        gallery, trained_on = self._gallery, [str(person) for person in self.classes_]
        known_row(name, [*self.enrolled_, *trained_on])
        if name in self.enrolled_:
            self._keep(gallery.without_person(name))
        if name in trained_on:
            row, network = trained_on.index(name), self._network
            network.people = nn.Parameter(without(network.people.detach(), row))
            self.classes_ = np.delete(self.classes_, row)
            self._optimizer_state = None  # momentum is a likeness too
        return self

    @property
    def _network(self) -> Any:
        check_is_fitted(self, "network_")
        return self.network_

    @property
    def _gallery(self) -> Gallery:
        vectors = self._network.gallery
        return Gallery(self.enrolled_, vectors, self.threshold_)

    def _keep(self, gallery: Gallery) -> None:
        self._network.gallery, self.enrolled_ = gallery.vectors, gallery.pictures

    def _pictures(self, images: Any, what_for: str) -> np.ndarray:
        """One picture or several, checked: (N, C, H, W)."""
        check_is_fitted(self, "network_")
        array = np.asarray(images)
        if array.ndim == 3 and array.shape == self.input_shape_:
            array = array[None]
        if not len(array):
            raise InputError(f"{what_for} got no picture; at least one face is needed.")
        return self._take(array, reset=False)[0]

    # -- learning -------------------------------------------------------------------------------

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        return FaceNetwork(
            backbone,
            SIZES[self.size].n_embedding if self.n_embedding is None else int(self.n_embedding),
            n_outputs,
            enrolled=len(vars(self).get("enrolled_", ())),
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
        columns = split = order = levels = None
        was_given = validation is not None
        if is_dataset(X, y):
            columns, split, order = columns_of(X), X.split_marks, class_order(X)
            levels = X.pixel_range
            X, y, validation = dataset_parts(X, validation)
        inputs, labels, _ = super()._parts(X, y, None)
        self.columns_, self.split_, self.class_order_ = columns, split, order
        self.pixel_range_ = levels
        if validation is None or labels is None:
            return inputs, labels, None
        images = self._take(validation[0], reset=False)[0]
        people = numbered_people(check_labels(validation[1], len(images)), self.classes_)
        strangers = people.min() >= self.n_outputs and len(np.unique(people)) < len(people)
        return inputs, labels, (images, people) if was_given or strangers else None

    def _hold_out(self, data: TrainingData) -> TrainingData:
        found = hold_out_people(data, self.validation_fraction, self._seed())
        if found is None:
            return data
        data, kept = found
        self.classes_ = self.classes_[kept]
        return data

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
        pairs = pair_similarities(np.concatenate(embedded), people[places], self._seed())
        self.threshold_ = threshold_at(rate, pairs[1])
        self.verification_ = {**rates_of(rate, *pairs), "people": measured_on}

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

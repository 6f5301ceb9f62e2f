"""Models of the data itself: they sample, reconstruct, score how likely an item is, and find what
is strange; given labels they classify too.

    fit(X)         learns p(v), v the visible units: Bernoulli for pixels and for columns within
                   [0, 1], Gaussian for other columns (standardised)
    fit(X, y)      learns to tell the labels as well
    threshold_     anomaly scores above it are called strange: the quantile 1 - false_alarms of the
                   scores of items that were held out (of the training items where none were)

Log-likelihoods are in nats an item: of Bernoulli units, of binary items, grey values being drawn
once, with a fixed seed, as Salakhutdinov and Murray (2008) do; of Gaussian units, densities in the
data's own units (the logarithm of the standardisation's Jacobian is added).

A family says `build`, `_learn` and how to sample and score; the rest is here.

Shapes: N items, B batch, D visible units, K classes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.compute import own_randomness
from depthwise.data.inputs import statistics
from depthwise.errors import InputError
from depthwise.models.abilities import Predicts
from depthwise.models.datasets import is_dataset
from depthwise.models.gpu_answers import at_work, home_of, keeping_there
from depthwise.models.layer_outputs import get_feature_names_out, transform
from depthwise.models.supervised import Classifier
from depthwise.settings import (
    Learning,
    check_settings,
    no_setting,
    number,
    one_of,
    setting,
    settings,
)
from depthwise.training.run import Run
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.training_data import TrainingData

__all__ = ["VISIBLE_KINDS", "Generative"]

VISIBLE_KINDS = ("auto", "bernoulli", "gaussian")
BINARISE_SEED = 20080705
SCORED = 5000  # items that the threshold is taken from, at most


def _tells_labels(model: Generative) -> bool:
    if model._learns_labels():
        return True
    raise AttributeError(f"this {type(model).__name__} does not learn labels; see its settings.")


@settings
class Generative(Learning, TransformerMixin, Classifier):
    """What every generative family shares. See a family for the meaning of its settings."""

    tasks: ClassVar[tuple[str, ...]] = ("classification", "generate", "anomaly")
    priority: ClassVar[dict[str, int]] = {"images": 7, "table": 7}
    needs_targets: ClassVar[bool] = False
    keeps_offsets: ClassVar[bool] = False  # what it draws is in the units that it was given
    precisions: ClassVar[tuple[str, ...]] = ("float32",)  # that precision="auto" chooses among
    visible: str = setting(
        default="auto",
        range=one_of(*VISIBLE_KINDS),
        doc='what the visible units are: "bernoulli" (pixels, values within [0, 1]), "gaussian" '
        "(variances are learnt), or what the data suggest",
    )
    false_alarms: float = setting(
        default=0.01,
        range=number("(0, 1)", usual=(0.001, 0.1)),
        doc="share of ordinary items above `threshold_`",
    )
    # learnt
    visible_: str = no_setting()
    threshold_: float = no_setting()

    transform, get_feature_names_out = transform, get_feature_names_out

    # -- what a family says ---------------------------------------------------------------------

    @abc.abstractmethod
    def _learn(self, stages: Stages) -> None:
        """Train `network_` in one stage or more; a single pass at a constant rate if
        `stages.more`."""

    @abc.abstractmethod
    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        """Means of the visible units (n, D) of n samples, given labels (n,) int64 or None."""

    @abc.abstractmethod
    def _log_likelihood(self, v: Tensor) -> Tensor:
        """log p(v), or a lower bound of it, in nats: (B, D) -> (B,)."""

    @property
    def predictor(self) -> Predicts | None:
        return self if self.n_outputs else None

    def _strangeness(self, v: Tensor) -> Tensor:
        """Higher for stranger items, up to a constant: (B, D) -> (B,)."""
        return -self._log_likelihood(v)

    def _initialise(self, network: nn.Module, inputs: np.ndarray) -> None:
        """Set what the data says before any training, such as biases."""

    def _learns_labels(self) -> bool:
        return True

    def _check_settings(self, inputs: np.ndarray) -> None:
        """Settings are stored unchecked, as scikit-learn asks, and checked when they are used."""
        check_settings(self)
        if self.visible == "bernoulli" and not _within_unit(inputs):
            low, high = float(inputs.min()), float(inputs.max())
            raise InputError(
                f'visible="bernoulli" needs values within [0, 1] or uint8 pixels; X has {low:g} to '
                f'{high:g}. Scale it, or set visible="gaussian".'
            )

    @property
    def known_log_partition(self) -> Tensor | None:
        """(2,): log Z and its standard error, NaN where not estimated; None of a family whose
        likelihood needs no log Z."""
        return None

    @property
    def known_threshold(self) -> float | None:
        """`threshold_`; None of a file that was saved without one."""
        return vars(self).get("threshold_")

    # -- learning -------------------------------------------------------------------------------

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        data = super()._training_data(X, y, sample_weight, validation)
        data = self._hold_out(data) if data.held_out is None else data
        self._check_settings(data.inputs)
        self.visible_ = self._visible_kind(data.inputs)
        self.network_ = self._new_network(data.inputs)
        return data

    def _hold_out(self, data: TrainingData) -> TrainingData:
        """With the part that a family puts aside where no validation is given."""
        return data

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """One more pass over X, y at a constant learning rate.

        `classes`: every label there will ever be; needed on the first call unless y has them all.
        """
        first = not self.is_fitted
        y = y if self._learns_labels() else None
        inputs, labels = self._take_more(X, y, classes)
        self._check_settings(inputs)
        if first:
            self.visible_ = self._visible_kind(inputs)
            self.network_ = self._new_network(inputs)
        elif labels is None and self.n_outputs:
            raise InputError("this model learns labels too: give y to partial_fit.")
        self._train(TrainingData(inputs, labels), Run(), more=True)
        return self

    def _parts(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None
    ) -> tuple[np.ndarray, Any, tuple[np.ndarray, Any] | None]:
        if self._learns_labels():
            return super()._parts(X, y, validation)
        if is_dataset(X, None):
            held = X.validation.X
            validation = validation or ((held, None) if len(held) else None)
            columns, split, levels = X.columns, X.split_marks, X.pixel_range
            parts = super()._parts(X.train.X, None, validation)
            self.columns_, self.split_, self.pixel_range_ = columns, split, levels
            return parts
        return super()._parts(X, None, validation)

    def _train(self, data: TrainingData, run: Run, more: bool = False) -> None:
        held = data.held_out[0] if data.held_out else None
        stages = Stages(self, self.network_, data, run, more=more)
        with stages, keeping_there(self, held, stages.compute.device):
            try:
                self._learn(stages)
            except Interrupted:
                self.network_.eval()
        self.network_.eval()
        self.history_ = stages.history()
        self.n_iter_ = max(1, self.history_["steps"])
        self._set_threshold(data.scored[0])

    def _new_network(self, inputs: np.ndarray) -> nn.Module:
        with own_randomness(self._seed()):
            network = self._whole_network(self.input_shape_, self.n_outputs)
        self._set_units(network, inputs)
        self._initialise(network, inputs)
        return network

    def _set_units(self, network: Any, inputs: np.ndarray) -> None:
        """Raw items become visible units in the network's first layer."""
        if self.visible_ == "gaussian":
            network.standardise.set_statistics(*statistics(inputs))
            return
        full = 255.0 if inputs.dtype == np.uint8 else 1.0
        channels = network.standardise.mean.numel()
        network.standardise.set_statistics(torch.zeros(channels), torch.full((channels,), full))

    def _visible_kind(self, inputs: np.ndarray) -> str:
        if self.visible != "auto":
            return self.visible
        return "bernoulli" if _within_unit(inputs) else "gaussian"

    def _kind(self, input_shape: tuple[int, ...]) -> str:
        """The visible units of a network to be built; before any data, by the shape."""
        if self.visible != "auto":
            return self.visible
        likely = "bernoulli" if len(input_shape) == 3 else "gaussian"
        return str(vars(self).get("visible_", likely))

    def describe_network(self) -> dict[str, Any]:
        mark = self.known_threshold
        return {**super().describe_network(), "visible": self.visible_, "threshold": mark}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        if description["visible"] not in VISIBLE_KINDS[1:]:
            raise ValueError(f"visible units of kind {description['visible']!r}")
        self.visible_ = description["visible"]
        if description["threshold"] is not None:
            self.threshold_ = float(description["threshold"])
        return super().rebuild(description)

    # -- what it can do -------------------------------------------------------------------------

    def sample(self, n: int = 1, labels: Any = None, *, random_state: Any = None) -> np.ndarray:
        """n new items (n, *input_shape_) in the data's own units and type.

        `labels`: one label for all, or one an item; needs a model fitted with labels.
        `random_state`: seed; by default the model's own, so that the same call gives the same
        items. Raises InputError.
        """
        check_is_fitted(self, "network_")
        if not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"n must be at least 1; got {n!r}.")
        wanted = None if labels is None else self._wanted(labels, int(n))
        source = check_random_state(self.random_state if random_state is None else random_state)
        seed = int(source.randint(2**31 - 1))
        with own_randomness(seed, home_of(self.network_)), torch.inference_mode():
            return self._to_items(self._sample(int(n), wanted))

    def reconstruct(self, X: Any) -> np.ndarray:
        """X as the model sees it: (N, *input_shape_) in the data's own units and type."""
        check_is_fitted(self, "network_")
        inputs = self._take(X, reset=False)[0]
        return self._to_items(self._rows(inputs, lambda n, x: n.reconstruct(x)))

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood of each item, or a lower bound of it, in nats: (N,)."""
        v = self._units(X)
        if self.visible_ == "bernoulli":
            source = torch.Generator().manual_seed(BINARISE_SEED)
            v = (torch.rand(v.shape, generator=source, dtype=v.dtype) < v).to(v.dtype)
        scores = self._part_by_part(v, self._log_likelihood)
        return (scores + self._jacobian(v.shape[1])).double().numpy()

    def anomaly_score(self, X: Any) -> np.ndarray:
        """How strange each item is: (N,), higher is stranger; see `threshold_`."""
        return self._strange(self._units(X))

    def is_anomaly(self, X: Any) -> np.ndarray:
        """Whether each item is stranger than `threshold_`: (N,) bool."""
        strange: np.ndarray = self.anomaly_score(X) > self.threshold_
        return strange

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy where labels were learnt and y is given, else the mean of `score_samples`."""
        if y is not None and self.known_classes is not None:
            return float(super().score(X, y, sample_weight))
        return float(np.mean(self.score_samples(X)))

    @available_if(_tells_labels)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (N, K) of a model fitted with labels, columns as `classes_`."""
        return super().predict_proba(X)

    @available_if(_tells_labels)
    def predict(self, X: Any) -> np.ndarray:
        """Class labels (N,), of a model fitted with labels."""
        return super().predict(X)

    # -- between items and units ----------------------------------------------------------------

    def _units(self, X: Any) -> Tensor:
        """Visible units (N, D) of items."""
        check_is_fitted(self, "network_")
        return self._rows(self._take(X, reset=False)[0], lambda n, x: n.visible(x)).float()

    def _to_items(self, v: Tensor) -> np.ndarray:
        network: Any = self.network_
        with torch.inference_mode():
            raw = network.raw(v.float().cpu())
        if self.input_dtype_ == "uint8":
            return raw.clamp(0, 255).round().to(torch.uint8).numpy()
        return raw.numpy()

    def _strange(self, v: Tensor) -> np.ndarray:
        return self._part_by_part(v, self._strangeness).double().numpy()

    def _part_by_part(self, v: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
        """Scores of visible units (N, D), in parts: (N,)."""
        with at_work(self, v.nbytes):
            home = home_of(self.network_)
            with own_randomness(BINARISE_SEED, home), torch.inference_mode():
                return torch.cat([score(part.to(home)).cpu() for part in v.split(1000)])

    def _set_threshold(self, inputs: np.ndarray) -> None:
        chosen = inputs[np.linspace(0, len(inputs) - 1, min(len(inputs), SCORED)).astype(int)]
        scores = self._strange(self._rows(chosen, lambda n, x: n.visible(x)).float())
        self.threshold_ = float(np.quantile(scores, 1 - self.false_alarms))

    def _jacobian(self, n_visible: int) -> float:
        """log |dv/dx| of the standardisation of Gaussian units; 0 for Bernoulli ones."""
        if self.visible_ == "bernoulli":
            return 0.0
        network: Any = self.network_
        inverse_std = network.standardise.inverse_std.double()
        return float(inverse_std.log().sum()) * n_visible / inverse_std.numel()

    def _wanted(self, labels: Any, n: int) -> Tensor:
        if not self.n_outputs:
            raise InputError("labels were given, but this model was fitted without. Fit it with y.")
        given = np.asarray(labels)
        if given.ndim > 1 or (given.ndim == 1 and len(given) != n):
            raise InputError(f"labels must be one label, or {n} of them; got {given.shape}.")
        named = np.broadcast_to(given, (n,))
        unknown = sorted(set(named.tolist()) - set(self.classes_.tolist()), key=str)
        if unknown:
            classes = ", ".join(map(str, self.classes_.tolist()))
            raise InputError(f"label {unknown[0]!r} is not among the classes: {classes}.")
        return torch.from_numpy(np.searchsorted(self.classes_, named).astype(np.int64))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        if not self._learns_labels():
            tags.estimator_type, tags.classifier_tags = None, None
        return tags


def _within_unit(inputs: np.ndarray) -> bool:
    if inputs.dtype == np.uint8:
        return True
    return bool(inputs.min() >= 0 and inputs.max() <= 1)

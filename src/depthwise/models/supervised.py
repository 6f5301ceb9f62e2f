"""Models that learn what belongs to an item: a label (Classifier) or numbers (Regressor).

    classes_      class labels, in the order of the network's outputs
    n_targets_    numbers an item has; the network answers in their own units

How a network learns is its family's affair: by the loop (networks.py) or otherwise
(families/shallow/shallow.py).

Shapes: N items, B batch, K classes, T targets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.data.dataset import Dataset
from depthwise.data.inputs import check_weights, weights_of_classes
from depthwise.errors import DivergedError, InputError
from depthwise.layers import Rescaled
from depthwise.losses import over_answers, smoothed_cross_entropy, squared_error
from depthwise.models.abilities import Predicts
from depthwise.models.datasets import dataset_parts
from depthwise.models.estimator import Estimator
from depthwise.scores.classification import ClassAnswers, rarer_class
from depthwise.scores.custom import class_score
from depthwise.scores.regression import r2, regression_report
from depthwise.scores.thresholds import best_cut, is_cut_for
from depthwise.settings import no_setting, settings
from depthwise.training.events import Watch

__all__ = ["Classifier", "Estimator", "Regressor", "Watch", "dataset_parts"]


@settings
class Classifier(ClassifierMixin, Estimator):
    """A model of labels.

    class_weight : how much an item counts in `fit` by its class: None for 1, "balanced" for
        N / (K n_k), or a dict of labels and weights; 0.1 .. 100. It multiplies `sample_weight`.
    metric : what chooses the best pass on the validation part: None for accuracy,
        "balanced_accuracy", "f1", "auroc" or "log_loss".
    """

    task_mark: ClassVar[str] = "classes_"
    classes_: np.ndarray = no_setting()
    label_smoothing: float = no_setting(default=0.0)

    class_weight: Any = None
    metric: Any = None

    @property
    def n_outputs(self) -> int:
        return 0 if self.known_classes is None else len(self.known_classes)

    @property
    def predictor(self) -> Predicts | None:
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (N, K), columns in the order of `classes_`.

        Raises DivergedError where the network's answer is not a number.
        """
        check_is_fitted(self, "network_")
        if not self.n_outputs:
            raise InputError("this model was fitted without labels. Fit it with y to predict.")
        p = torch.softmax(self._logits(self._take(X, reset=False)[0]), dim=1).numpy()
        _require_numbers(p)
        return p

    def predict(self, X: Any) -> np.ndarray:
        """Class labels (N,)."""
        decided = self.decide(self.predict_proba(X))  # first: it says where nothing was fitted
        return self.classes_[decided]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the items (N,) whose class is predicted. y: labels as in `classes_`; of a model
        that was fitted on a Dataset also its class indices, so that `score(*data.test)` holds."""
        check_is_fitted(self, "network_")
        return float(super().score(X, self._as_labels(y), sample_weight))

    def _as_labels(self, y: Any) -> Any:
        """y, or the class names of a Dataset's indices. Raises InputError for other indices."""
        targets, names = np.asarray(y), self.known_classes
        if names is None or names.dtype.kind != "U" or targets.dtype.kind not in "iu":
            return y
        order = self.class_order_
        if order is None or (len(targets) and not 0 <= targets.min() <= targets.max() < len(order)):
            raise InputError(
                f"y holds numbers ({targets.ravel()[:3].tolist()} ...) where the classes are names "
                f"({names[:3].tolist()} ...). Give names: np.array(data.classes)[y]."
            )
        return np.asarray(order)[targets]

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(N, K) -> class indices (N,): the likeliest, or of two classes the second one from
        `decision_threshold_` on, where that was set."""
        if self.decision_threshold_ is None or probabilities.shape[1] != 2:
            return np.asarray(probabilities.argmax(axis=1))
        return (probabilities[:, 1] >= self.decision_threshold_).astype(np.int64)

    def tune_threshold(self, X: Any, y: Any, metric: Any = "balanced_accuracy") -> Self:
        """Set `decision_threshold_` to the probability of the second class from which on calling
        an item so scores best by `metric` on held-out X, y: "balanced_accuracy", "f1" or a function
        of labels (scores/custom.py). It is forgotten (None) where the likeliest class is best: for
        more than two classes, for accuracy, and for scores of probabilities."""
        score = class_score(metric)
        self.decision_threshold_ = None
        if is_cut_for(score, self.n_outputs):
            p = self.predict_proba(X)
            _, labels = self._take(X, y, reset=False, classes=self.classes_)
            self.decision_threshold_ = best_cut(self._class_answers(labels, p), score)[0]
        return self

    def _class_answers(self, labels: np.ndarray, p: np.ndarray) -> ClassAnswers:
        counts = np.bincount(labels, minlength=p.shape[1])
        return ClassAnswers(labels, p.argmax(axis=1), p, rarer_class(counts), self.classes_)

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(accuracy or what `metric` says, -cross-entropy): the second breaks the ties of a small
        validation part. Two classes are cut where that is best for the metric."""
        logits, truth = self._logits(inputs, network), torch.from_numpy(targets)
        minus_loss = -float(smoothed_cross_entropy(logits, truth))
        if self.metric is not None:
            return self._by_metric(targets, torch.softmax(logits, dim=1).numpy()), minus_loss
        accuracy = (logits.argmax(dim=1) == truth).double().mean()
        return float(accuracy), minus_loss

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        return over_answers(partial(smoothed_cross_entropy, smoothing=self.label_smoothing))

    def _little_left(self, targets: np.ndarray) -> float:
        """Between the entropy of smoothed labels, the least there is, and that of the classes."""
        shares = np.bincount(targets) / len(targets)
        share = self.label_smoothing / self.n_outputs
        smoothed = np.full(self.n_outputs, share)
        smoothed[0] += 1 - self.label_smoothing
        least, first = _entropy(smoothed), _entropy(shares)
        return least + 0.1 * max(0.0, first - least)

    def _by_metric(self, labels: np.ndarray, p: np.ndarray) -> float:
        score, answers = class_score(self.metric), self._class_answers(labels, p)
        if is_cut_for(score, p.shape[1]):
            return best_cut(answers, score)[1]
        return score.sign * score.value(answers)

    def _checked_weights(self, sample_weight: Any, targets: Any, items: int) -> np.ndarray | None:
        """As of all that learns, and by `class_weight`."""
        self.decision_threshold_ = None
        if self.metric is not None:
            class_score(self.metric)  # an unknown name is told before anything is learnt
        weights = sample_weight
        if self.class_weight is not None and targets is not None:
            weights = weights_of_classes(self.class_weight, targets, self.classes_.tolist())
            if sample_weight is not None:
                weights = weights * check_weights(sample_weight, items)
        return super()._checked_weights(weights, targets, items)

    def _expect(self, classes: Any) -> None:
        self.classes_ = np.unique(classes)

    def _require_several(self, targets: np.ndarray) -> None:
        if len(np.unique(targets)) < 2:
            raise InputError(
                "y has one class only, once items of sample_weight 0 are left out: a classifier "
                "needs at least 2 classes to tell apart."
            )

    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any:
        """Label indices (N,) int64."""
        if not reset:
            targets = self._as_labels(targets)
        check_classification_targets(targets)
        if classes is None and (reset or self.known_classes is None):
            self.classes_ = np.unique(targets)
        if len(self.classes_) < 2:
            raise InputError(
                f"y has one class only ({self.classes_.tolist()[0]!r}): a classifier needs at "
                "least 2 classes to tell apart."
            )
        places = np.searchsorted(self.classes_, targets).clip(max=len(self.classes_) - 1)
        wrong = self.classes_[places] != targets
        if wrong.any():
            raise InputError(
                f"y has the label {targets[wrong].tolist()[0]!r}, which is not among the classes "
                f"{self.classes_.tolist()}. Pass every class there will be to the first call."
            )
        return places.astype(np.int64)


class Regressor(RegressorMixin, Estimator):
    """A model of numbers: y (N,) or (N, T). The network learns them standardised."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    target_checks: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}
    task_mark: ClassVar[str] = "n_targets_"
    n_targets_: int
    flat_: bool  # y was (N,)

    @property
    def n_outputs(self) -> int:
        return self.n_targets_ if "n_targets_" in vars(self) else 0

    @property
    def predictor(self) -> Predicts | None:
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,), or (N, T) where y had several columns. Raises DivergedError for no number."""
        check_is_fitted(self, "network_")
        answers = self._answers(self._take(X, reset=False)[0])
        return answers[:, 0] if self.flat_ else answers

    def _answers(self, inputs: np.ndarray) -> np.ndarray:
        """(N, T) to checked inputs. Raises DivergedError for no number."""
        answers = self._logits(inputs).numpy()
        _require_numbers(answers)
        return answers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _whole_network(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return Rescaled(self.build(input_shape, n_outputs), n_outputs)

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), "flat": self.flat_}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.n_targets_, self.flat_ = int(description["n_classes"]), bool(description["flat"])
        return super().rebuild(description)

    def _dataset_parts(self, dataset: Any, validation: Any) -> tuple[Any, Any, Any]:
        self.require_data(dataset)
        train, held = dataset.train, dataset.validation
        return train.X, train.y, held if validation is None and len(held.y) else validation

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        network = self.network_
        assert isinstance(network, Rescaled)
        return partial(squared_error, scale=network.scale)

    def _little_left(self, targets: np.ndarray) -> float:
        """Standardised targets begin at a squared error of 1."""
        return 0.1

    @classmethod
    def require_data(cls, data: Dataset) -> None:
        """Raises InputError unless there are numbers to predict."""
        data.require_task(*(row.data for row in cls.task_rows()))

    def _set_scale(
        self, network: nn.Module, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """The mean and the spread of the targets (N, T), of these weights (N,), that a network
        (Rescaled) answers in."""
        assert isinstance(network, Rescaled)
        exact = targets.astype(np.float64)
        mean = np.average(exact, axis=0, weights=weights)
        spread = np.sqrt(np.average(np.square(exact - mean), axis=0, weights=weights))
        network.mean.copy_(torch.from_numpy(mean))
        network.scale.copy_(torch.from_numpy(np.where(spread > 0, spread, 1.0)))

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(R2,), the mean over the targets."""
        return (r2(targets, self._logits(inputs, network).numpy()),)

    def assess(self, X: Any, y: Any) -> dict[str, Any]:
        """R2 of predicting y (N,) or (N, T) from X, and in "scores" RMSE and MAE in the targets'
        own units, each with its 95% interval: see scores/regression.py."""
        inputs, targets = self._take(X, y, reset=False)
        return regression_report(targets, self._answers(inputs))

    def _check_targets(self, y: Any, items: int) -> np.ndarray:
        targets = np.asarray(y, dtype=np.float32)
        if targets.ndim not in (1, 2) or len(targets) != items:
            raise InputError(f"y must be ({items},) or ({items}, T); got {targets.shape}.")
        if not np.isfinite(targets).all():
            raise InputError("y contains NaN or infinity: every image needs its numbers.")
        return targets

    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any:
        """Targets (N, T) float32."""
        columns = np.asarray(targets, dtype=np.float32)
        if reset:
            self.flat_ = columns.ndim == 1
        columns = columns.reshape(len(columns), -1)
        if reset:
            self.n_targets_ = columns.shape[1]
        if columns.shape[1] != self.n_targets_:
            raise InputError(
                f"y has {columns.shape[1]} columns, but this model learns {self.n_targets_}."
            )
        return columns


def _entropy(shares: np.ndarray) -> float:
    """Nats, of shares that add up to 1."""
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def _require_numbers(answers: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(answers).all(axis=1))
    if len(bad):
        raise DivergedError(
            f"the network's answer for item {bad[0]} is not a number ({len(bad)} such). "
            "Look for extreme values in the inputs (depthwise inspect), or fit again."
        )

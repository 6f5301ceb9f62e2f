"""Models that learn what belongs to an item: a label (Classifier) or numbers (Regressor).

    classes_      class labels, in the order of the network's outputs
    n_targets_    numbers an item has; the network answers in their own units

How a network learns is its family's affair: by the loop (networks.py) or otherwise
(families/shallow/shallow.py).

Shapes: N items, B batch, K classes, T targets.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.data.inputs import check_weights, fingerprint_arrays, weights_of_classes
from depthwise.errors import DivergedError, InputError
from depthwise.layers import Rescaled
from depthwise.losses import smoothed_cross_entropy
from depthwise.models.abilities import Predicts
from depthwise.models.estimator import Estimator, Watch, columns_of, dataset_parts, is_dataset
from depthwise.scores.classification import ClassAnswers, rarer_class
from depthwise.scores.custom import class_score
from depthwise.scores.regression import r2, regression_report
from depthwise.scores.thresholds import best_cut, is_cut_for
from depthwise.training.events import finished
from depthwise.training.run import Run
from depthwise.training.training_data import TrainingData

__all__ = ["Classifier", "Estimator", "Regressor", "Supervised", "Watch", "dataset_parts"]


class Supervised(Estimator):
    """The parts of fitting that labels and numbers have in common.

    `weighs_items`: whether `fit` takes `sample_weight`: a loss that is a sum over items does.
    """

    weighs_items: ClassVar[bool] = True
    needs_targets: ClassVar[bool] = True  # else it learns from items alone too

    def _parts(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None
    ) -> tuple[np.ndarray, Any, tuple[np.ndarray, Any] | None]:
        """Checked inputs, targets (None where y is) and validation part, of arrays or a Dataset."""
        self.columns_ = self.split_ = None
        if is_dataset(X, y):
            self.columns_, self.split_ = columns_of(X), getattr(X, "split_marks", None)
            X, y, validation = self._dataset_parts(X, validation)
        if y is None:
            self.__dict__.pop("classes_", None)
        inputs, targets = self._take(X, y, reset=True)
        arrays = (inputs,) if targets is None else (inputs, targets)
        self.data_fingerprint_ = fingerprint_arrays(*arrays)
        if validation is None:
            return inputs, targets, None
        X_held, y_held = validation
        y_held = None if targets is None else y_held
        known = self.known_classes
        return inputs, targets, self._take(X_held, y_held, reset=False, classes=known)

    def _dataset_parts(self, dataset: Any, validation: Any) -> tuple[Any, Any, Any]:
        """Training inputs, their targets and the validation part of a Dataset."""
        return dataset_parts(dataset, validation)

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        inputs, targets, held_out = self._parts(X, y, validation)
        if targets is None and self.needs_targets:
            raise InputError(
                f"{type(self).__name__} learns from labels, and there are none. Give y, or take a "
                "family that models the data itself: RBM, DBN, DBM or DeepAutoencoder."
            )
        return self._weigh(TrainingData(inputs, targets, held_out=held_out), sample_weight)

    def _weigh(self, data: TrainingData, sample_weight: Any) -> TrainingData:
        """The items that count, with their weights; None where all are alike unsaid. An item of
        weight 0 is left out. Raises InputError."""
        weights = self._checked_weights(sample_weight, data.targets, len(data))
        data = replace(data, weights=weights)
        return data if weights is None or weights.all() else data.at(weights > 0)

    def _checked_weights(self, sample_weight: Any, targets: Any, items: int) -> np.ndarray | None:
        """Weights float64 (N,), which belong to the data that was fitted."""
        if sample_weight is None:
            return None
        if not self.weighs_items:
            raise InputError(
                f"{type(self).__name__} gives all items the same weight. Leave out sample_weight, "
                "or give an item as often as it shall count."
            )
        weights = check_weights(sample_weight, items)
        if targets is not None:
            self._require_several(targets[weights > 0])
        both = self.data_fingerprint_ + fingerprint_arrays(weights)
        self.data_fingerprint_ = hashlib.sha256(both.encode()).hexdigest()
        return weights

    def _require_several(self, targets: np.ndarray) -> None:
        """Raises InputError where the items that count have one label only."""

    def _take_more(self, X: Any, y: Any, classes: Any) -> tuple[np.ndarray, Any]:
        """`partial_fit`'s arguments; the first call fixes shape and classes."""
        self.running_ = None
        first = not self.is_fitted
        if first and classes is not None:
            self.classes_ = np.unique(classes)
        return self._take(X, y, reset=first, classes=self.known_classes)

    def _record(self, amount: int, data: TrainingData, run: Run) -> None:
        """The history of a fit that was one piece: one record, and one event."""
        seconds = run.seconds
        record: dict[str, Any] = {"epoch": amount, "seconds": seconds}
        if data.held_out:
            record["score"] = self._validation_scores(*data.held_out, self.network_)[0]
        self.n_iter_ = amount
        self.history_ = {"epochs": [record], "stopped": "finished", "seconds": seconds}
        if run.watch is not None:
            run.watch(finished(amount, seconds, record.get("score")))

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """How good the network is on held-out items; the first counts, the others break ties."""
        raise AssertionError("a classifier or a regressor says how it is scored")

    def _logits(self, inputs: np.ndarray, network: nn.Module | None = None) -> Tensor:
        """The network's answers (N, K) or (N, T); the model's own by its runtime."""
        if network is None and (answers := self._by_runtime(inputs)) is not None:
            return answers
        return self._rows(inputs, lambda n, x: n(x), network)


class Classifier(ClassifierMixin, Supervised):
    """A model of labels."""

    classes_: np.ndarray
    class_weight: Any = None  # settings of those that are `Deciding`
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

    def _require_several(self, targets: np.ndarray) -> None:
        if len(np.unique(targets)) < 2:
            raise InputError(
                "y has one class only, once items of sample_weight 0 are left out: a classifier "
                "needs at least 2 classes to tell apart."
            )

    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any:
        """Label indices (N,) int64."""
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


class Regressor(RegressorMixin, Supervised):
    """A model of numbers: y (N,) or (N, T). The network learns them standardised."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    target_checks: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}
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
        dataset.require_task("regression")
        train, held = dataset.train, dataset.validation
        return train.X, train.y, held if validation is None and len(held.y) else validation

    def _set_scale(
        self, network: nn.Module, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """What a network (Rescaled) answers with, for targets (N, T) of these weights (N,): their
        mean and spread."""
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


def _require_numbers(answers: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(answers).all(axis=1))
    if len(bad):
        raise DivergedError(
            f"the network's answer for item {bad[0]} is not a number ({len(bad)} such). "
            "Look for extreme values in the inputs (depthwise inspect), or fit again."
        )

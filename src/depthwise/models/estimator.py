"""What every model has: settings, checked inputs, representations, and a folder to be saved in.

A family is a class whose constructor's arguments are its whole configuration, with a `fit` and a
`build(input_shape, n_outputs)`, the network from raw inputs (B, ...) to its answers. What is learnt
ends in an underscore:

    network_      the trained torch.nn.Module, in eval mode; takes raw pixels or columns
    runtime_      dict: what runs it, if not torch (runtimes/attached.py)
    shrunk_       list: the edits that made it smaller than its family builds it
                  (reshaping/edits.py)
    input_shape_  (C, H, W), (T, C, H, W) or (D,);   input_dtype_  "uint8" or "float32"
    history_      dict: one record an epoch, why training stopped, how it was computed
    pixel_range_  levels of deep pictures (more than 8 bits) that became 0 and 255, of a Dataset
    columns_      what the columns of the table became: of a Dataset or a data frame that was
                  fitted, None for arrays; split_ which split it was, of a Dataset
    class_order_  the class names of the Dataset that was fitted as its labels count them

Models that learn labels or numbers are in supervised.py, those that model the data in
generative.py.

Shapes: N items, B batch, T frames, C channels, H W image, D features.
"""

from __future__ import annotations

import abc
import hashlib
import inspect
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.compute import own_randomness
from depthwise.data.dataset import Dataset, SplitMarks
from depthwise.data.inputs import (
    as_images,
    check_labels,
    check_weights,
    fingerprint_arrays,
    shape_of,
)
from depthwise.data.tables.columns import Column
from depthwise.data.tables.frame_features import (
    plain_targets,
)
from depthwise.data.tables.frames import is_frame
from depthwise.errors import InputError
from depthwise.models.abilities import (
    FindsObjects,
    Predicts,
    RecognizesPeople,
    Searches,
    Teaches,
    WritesText,
)
from depthwise.models.answers import PREDICT_BATCH, answers_of
from depthwise.models.datasets import (
    class_order,
    columns_of,
    dataset_parts,
    is_dataset,
)
from depthwise.models.layer_outputs import forget_layer
from depthwise.models.modelfile import write_model
from depthwise.models.table_rows import take_rows
from depthwise.reshaping.edits import Edit, edits_of
from depthwise.runtimes.attached import Running
from depthwise.task import Answer, Task, task_named
from depthwise.training.events import Watch, finished
from depthwise.training.run import Run
from depthwise.training.training_data import TrainingData

__all__ = ["Estimator", "Watch", "columns_of", "dataset_parts", "is_dataset"]


class Estimator(BaseEstimator, abc.ABC):
    """What every family shares. See a family for the meaning of its settings.

    `tasks` names what it is good for, `resource` the setting that says how long to train, `sizes`
    the rungs of its ladder.
    """

    family: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    image_only: ClassVar[bool] = False
    # kind of data -> how late `choose` tries it where minutes are short, 0 the first
    priority: ClassVar[dict[str, int]] = {}
    first_sizes: ClassVar[tuple[str, ...]] = ()  # in which order then; () from the middle outwards
    table_only: ClassVar[bool] = False  # not tried on images, of which it could learn
    resource: ClassVar[str] = "epochs"
    sizes: ClassVar[dict[str, Any]] = {}
    # settings with pretrained weights, by the name of their rung
    pretrained: ClassVar[dict[str, dict[str, Any]]] = {}
    # whether a fit that was killed goes on from its `checkpoint`, bit for bit
    resumes: ClassVar[bool] = True
    # whether `fit` takes `sample_weight`: a loss that is a sum over items does
    weighs_items: ClassVar[bool] = True
    # whether numbers of arrays that are far from 0 are centred in float64, as `columns_` then says
    keeps_offsets: ClassVar[bool] = True
    needs_targets: ClassVar[bool] = True  # else it learns from items alone too
    target_checks: ClassVar[dict[str, Any]] = {}  # of scikit-learn's validate_data
    random_state: Any
    device: str = "cpu"
    verbose: bool = False
    size: str  # of a family that has sizes
    # learnt
    network_: nn.Module
    input_shape_: tuple[int, ...]
    input_dtype_: str
    history_: dict[str, Any]
    columns_: list[Column] | None = None
    pixel_range_: tuple[float, float] | None = None
    feature_names_in_: np.ndarray
    n_features_in_: int
    split_: SplitMarks | None = None
    class_order_: list[str] | None = None
    running_: Running | None = None
    data_fingerprint_: str = ""  # of what it was fitted on
    # of two classes: the probability of the second from which on an item is called so
    decision_threshold_: float | None = None
    # inputs that are gone through again and again, and themselves on a GPU
    _kept_there: tuple[np.ndarray, Tensor] | None = None

    @classmethod
    def rungs(cls, input_shape: tuple[int, ...]) -> list[str]:
        """Names of what `choose` tries of it on such items: its sizes, and the settings with learnt
        weights (`pretrained`)."""
        return [*cls.sizes, *cls.pretrained]

    @classmethod
    def why_not(cls, input_shape: tuple[int, ...]) -> str:
        """Why `choose` does not try it on such items unless it is asked to; "" if it does."""
        return ""

    @abc.abstractmethod
    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """An untrained network from raw inputs (B, *input_shape) to its answers: logits (B, K) of
        n_outputs classes, or (B, T) targets; 0 where nothing is to be told apart."""

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        seconds_limit: float | None = None,
        watch: Watch | None = None,
        callbacks: Iterable[Watch] | None = None,
    ) -> Self:
        """Learn from X, images (N, C, H, W), rows (N, D) or other items of the task, and from what
        belongs to each, y; or from a Dataset given as X, which brings y and a validation part.

        `sample_weight` (N,): how much each item counts beside the others; one of weight 0 is left
        out. Families for which all items count alike refuse it.
        `validation` (X, y): scored and not learnt from; where there are epochs it chooses the best
        one and stops early.
        `checkpoint`: a file that, with others beside it, makes the run resumable by the same call;
        families that learn in one piece (`resumes` is False) write none.
        `seconds_limit`: training is shortened to end in time.
        `watch`, `callbacks`: called with a `training.loop.Event` several times a second; of what
        learns in one piece once, at the end.
        Raises InputError for wrong data or settings, DivergedError when the loss explodes.
        """
        run = Run.begin(checkpoint, seconds_limit, watch, callbacks)
        data = self._training_data(X, y, sample_weight, validation)
        self._train(data, run)
        return self

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        """The data of a fit, checked; what was fitted before is forgotten. A family adds what has
        to be so before it trains: checked settings, an untrained network."""
        inputs, targets, held_out = self._parts(X, y, validation)
        if targets is None and self.needs_targets:
            raise InputError(
                f"{type(self).__name__} learns from labels, and there are none. Give y, or take a "
                "family that models the data itself: RBM, DBN, DBM or DeepAutoencoder."
            )
        return self._weigh(TrainingData(inputs, targets, held_out=held_out), sample_weight)

    @abc.abstractmethod
    def _train(self, data: TrainingData, run: Run) -> None:
        """Learn from `data` within `run`: sets `network_` and `history_`. A family writes it."""

    # -- what it is, and what it can do -----------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """Whether it has a network."""
        return "network_" in vars(self)

    @property
    def known_classes(self) -> np.ndarray | None:
        """Its class labels (K,), in the order of the network's outputs; None where it has none:
        before `fit`, and of numbers or data without labels."""
        return vars(self).get("classes_")

    @classmethod
    def task_rows(cls) -> tuple[Task, ...]:
        """What task.py says of its `tasks`."""
        return tuple(map(task_named, cls.tasks))

    @classmethod
    def own_task(cls, data: Dataset | None = None) -> str | None:
        """Its task that data are for alone, these data if any are given; None for classes and the
        like, which any data may have."""
        own = (row for row in cls.task_rows() if row.data)
        return next((row.name for row in own if data is None or data.serves(row.data)), None)

    @property
    def answer(self) -> Answer:
        """What it answers an item with: "class", "numbers", "boxes", ..., or, where it learnt the
        data alone, "score"."""
        own = [row.answer for row in self.task_rows() if row.data]
        return own[0] if own else "class" if self.n_outputs else "score"

    @property
    def gives_logits(self) -> bool:
        """Whether its network's outputs are logits: of classes, (B, K) or (B, K, H, W), or of the
        tokens that follow, (B, T, V)."""
        if self.answer == "next token":
            return True
        return self.known_classes is not None and self.answer != "boxes"

    @property
    def predictor(self) -> Predicts | None:
        """Itself, where it has an answer for each item (see abilities.py for this and the next)."""
        return None

    @property
    def finder(self) -> FindsObjects | None:
        """Itself, where it finds objects in images."""
        return None

    @property
    def recognizer(self) -> RecognizesPeople | None:
        """Itself, where it recognises the people enrolled in it."""
        return None

    @property
    def searcher(self) -> Searches | None:
        """Itself, where it compares images and texts."""
        return None

    @property
    def writer(self) -> WritesText | None:
        """Itself, where it writes text."""
        return None

    @property
    def teacher(self) -> Teaches | None:
        """Itself, where it can teach a smaller network."""
        return None

    def prepare(self, X: Any, learn: bool = False) -> np.ndarray:
        """Items (N, ...) as its network takes them: texts as tokens; `learn`: with the vocabulary
        that these texts give it, before any `fit`."""
        return np.asarray(X)

    @property
    def look(self) -> Hashable:
        """What its features of an item depend on, where it `keeps_features`."""
        return None

    @property
    def filling_token(self) -> int:
        """The token that rows of tokens are filled up with, of a model of texts."""
        return 0

    def outputs_for(self, data: Dataset) -> int:
        """Outputs of the network that it would build for these data: classes, or numbers."""
        return data.n_outputs

    def assess(self, X: Any, y: Any) -> dict[str, Any]:
        """How well it does a task that has a measure of its own: {"value", "low", "high", ...} on
        held-out items X and their targets y. Raises InputError where its task has none."""
        raise InputError(
            f"{type(self).__name__} has no measure of its own: depthwise.measure scores it."
        )

    @property
    def is_linear_probe(self) -> bool:
        """Whether only a linear layer learns, on frozen features."""
        return self.is_frozen

    @property
    def is_frozen(self) -> bool:
        """Whether the features below its head learn nothing, so that each item is seen once."""
        return False

    @property
    def keeps_features(self) -> bool:
        """Whether features of each item are computed once and kept for other models."""
        return False

    @property
    def n_outputs(self) -> int:
        """Outputs of the network: classes, targets, or 0."""
        return 0

    @property
    def runtime_(self) -> dict[str, Any] | None:
        """{"name", "precision", "threads"} of the runtime that it predicts by
        (runtimes/attached.py), None for torch; learning more forgets it."""
        running = self.running_
        return running.choice if running and running.network is self.network_ else None

    @property
    def shrunk_(self) -> list[Edit]:
        """What `shrink` did to the network since it was built, in order; [] for nothing. It goes
        with the network: a fresh fit forgets it, `partial_fit` keeps it."""
        return edits_of(self.network_) if self.is_fitted else []

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True  # held in full, where that is not too large
        return tags

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        """The settings with which it learns anew from more items, nothing being held out, as long
        as `length` passes (iterations, rounds) that validation found best; None where a family
        cannot say."""
        return None

    @classmethod
    def has_setting(cls, name: str) -> bool:
        """Whether its constructor takes an argument of this name."""
        return name in inspect.signature(cls).parameters

    # -- running --------------------------------------------------------------------------------

    def _rows(
        self,
        inputs: np.ndarray,
        run: Callable[[Any, Tensor], Tensor],
        network: nn.Module | None = None,
    ) -> Tensor:
        """run(network, x) batch by batch, (N, ...) -> (N, ...): see answers.py."""
        return answers_of(self, inputs, run, network)

    def _by_runtime(self, inputs: np.ndarray) -> Tensor | None:
        """The network's answers (N, K) by the runtime it was saved or found to be quickest by."""
        if self.runtime_ is None or self.running_ is None:
            return None
        answers = self.running_.answers(inputs, PREDICT_BATCH)
        return None if answers is None else torch.from_numpy(answers)

    def answering(self, network: nn.Module) -> nn.Module:
        """What answers an item in full by `network`, of which time, energy and memory are measured:
        the network itself, or `layers.ManyPasses` where an answer takes many."""
        return network

    # -- saving ---------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write `model.safetensors` and `model.json` into `folder`; `depthwise.load` reads them."""
        check_is_fitted(self, "network_")
        return write_model(self, Path(folder))

    def describe_network(self) -> dict[str, Any]:
        """What `rebuild` needs besides the settings to make the same network; JSON values."""
        return {"input_shape": list(self.input_shape_), "n_classes": self.n_outputs}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        shape = tuple(int(side) for side in description["input_shape"])
        return self._whole_network(shape, int(description["n_classes"]))

    def _whole_network(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return self.build(input_shape, n_outputs)

    def _drawn_network(self) -> Any:
        """The whole network, untrained, its weights drawn by the seed; the process's own generator
        is left as it was."""
        with own_randomness(self._seed()):
            return self._whole_network(self.input_shape_, self.n_outputs)

    # -- settings -------------------------------------------------------------------------------

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _rung(self) -> Any:
        """What its size says. Raises InputError for a size that it has not."""
        self._require("size", self.size in self.sizes, f"one of {', '.join(self.sizes)}")
        return self.sizes[self.size]

    def _require(self, name: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise InputError(f"{name} must be {remedy}; got {getattr(self, name)!r}.")

    # -- data of a fit ---------------------------------------------------------------------------

    def _parts(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None
    ) -> tuple[np.ndarray, Any, tuple[np.ndarray, Any] | None]:
        """Checked inputs, targets (None where y is) and validation part, of arrays or a Dataset."""
        self.columns_ = self.split_ = self.class_order_ = self.pixel_range_ = None
        if is_dataset(X, y):
            self.pixel_range_ = X.pixel_range
            self.columns_, self.split_ = columns_of(X), X.split_marks
            self.class_order_ = class_order(X)
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

    def _take_more(self, X: Any, y: Any, classes: Any = None) -> tuple[np.ndarray, Any]:
        """`partial_fit`'s arguments; the first call fixes shape and classes."""
        self.running_ = None
        first = not self.is_fitted
        if first and classes is not None:
            self._expect(classes)
        return self._take(X, y, reset=first, classes=self.known_classes)

    def _expect(self, classes: Any) -> None:
        """Fix the labels that there will ever be. Raises InputError for a model of none."""
        raise InputError(f"{type(self).__name__} learns no class labels: leave out classes.")

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

    # -- outputs ---------------------------------------------------------------------------------

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """How good the network is on held-out items; the first counts, the others break ties."""
        raise AssertionError("a classifier, a regressor or a task says how it is scored")

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """(outputs, targets) -> scalar, of the network as it is now; of what learns by gradient
        descent."""
        raise AssertionError("a classifier, a regressor or a task says what it minimises")

    def _little_left(self, targets: np.ndarray) -> float:
        """The training loss at which a tenth is left of what there is to learn from the targets."""
        raise AssertionError("a classifier or a regressor says where its loss begins and ends")

    def _set_scale(
        self, network: nn.Module, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """Set the scale that the network answers in, of a model of numbers."""

    def _logits(self, inputs: np.ndarray, network: nn.Module | None = None) -> Tensor:
        """The network's answers (N, K) or (N, T); the model's own by its runtime."""
        if network is None and (answers := self._by_runtime(inputs)) is not None:
            return answers
        return self._rows(inputs, lambda n, x: n(x), network)

    # -- inputs ---------------------------------------------------------------------------------

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Checked inputs (N, ...) and what was made of y, or None; remembers shape on reset."""
        if _dimensions(X) >= 3:
            y = plain_targets(y)
            inputs = self._as_inputs(X)
            targets = None if y is None else self._check_targets(y, len(inputs))
            self._take_shape(inputs, reset)
        elif not reset and len(self.input_shape_) >= 3:
            raise InputError(
                f"this model was fitted on {_told(self.input_shape_)}; got flat rows. "
                f"Reshape them: X.reshape(-1, {', '.join(map(str, self.input_shape_))})."
            )
        else:
            inputs, targets = take_rows(self, X, y if is_frame(X) else plain_targets(y), reset)
        if reset:
            self.running_ = None
            forget_layer(self)
            self.input_shape_ = tuple(inputs.shape[1:])
            self.input_dtype_ = "uint8" if inputs.dtype == np.uint8 else "float32"
        return inputs, None if targets is None else self._encode(targets, reset, classes)

    def _as_inputs(self, X: Any) -> np.ndarray:
        """Checked inputs of three axes and more: images, but for a task of something else."""
        return as_images(X)

    def _take_shape(self, inputs: np.ndarray, reset: bool) -> None:
        if reset:
            self.n_features_in_ = int(np.prod(inputs.shape[1:]))
            return
        if tuple(inputs.shape[1:]) != self.input_shape_:
            raise InputError(
                f"these are {_told(tuple(inputs.shape[1:]))}, but this model was fitted on "
                f"{self.input_shape_}. Resize them (depthwise.load does)."
            )
        if (inputs.dtype == np.uint8) != (self.input_dtype_ == "uint8"):
            raise InputError(
                f"pixels are {inputs.dtype}, but this model was fitted on {self.input_dtype_}: "
                "0..255 and 0..1 must not be mixed. Convert them to the same type."
            )

    def _check_targets(self, y: Any, items: int) -> np.ndarray:
        return check_labels(y, items)

    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any:
        """What the loop learns from y; a family of labels or numbers says how."""
        return targets


def _told(shape: tuple[int, ...]) -> str:
    """What items of this shape are called."""
    return f"clips of {shape} (T, C, H, W)" if len(shape) == 4 else f"images of {shape} (C, H, W)"


def _dimensions(X: Any) -> int:
    return np.ndim(X) if isinstance(X, list | tuple) else len(shape_of(X)) or 2

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
    columns_      what the columns of the table became: of a Dataset or a data frame that was
                  fitted, None for arrays; split_ which split it was, of a Dataset

Models that learn labels or numbers are in supervised.py, those that model the data in
generative.py.

Shapes: N items, B batch, T frames, C channels, H W image, D features.
"""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from depthwise.compute import exact_products, own_randomness
from depthwise.data.dataset import SplitMarks
from depthwise.data.inputs import as_images, as_tensor, check_labels
from depthwise.data.tables.columns import Column, width
from depthwise.data.tables.frame_features import (
    all_numbers,
    features_of,
    learnt_features,
    plain_targets,
)
from depthwise.data.tables.frames import as_frame, is_frame
from depthwise.data.tables.sparse import densified, is_sparse
from depthwise.errors import InputError
from depthwise.models.abilities import (
    FindsObjects,
    Predicts,
    RecognizesPeople,
    Searches,
    Teaches,
    WritesText,
)
from depthwise.models.gpu_answers import home_of, pieces, placed
from depthwise.models.modelfile import write_model
from depthwise.reshaping.edits import Edit, edits_of
from depthwise.runtimes.attached import Running
from depthwise.task import Answer, Task, task_named
from depthwise.training.events import Watch
from depthwise.training.run import Run
from depthwise.training.training_data import TrainingData

__all__ = ["Estimator", "Layered", "Watch", "columns_of", "dataset_parts", "is_dataset"]

PREDICT_BATCH = 512
# of pictures and clips: as many as keep a layer's maps in the processor's cache (for CNNs 1.5 to 3
# times as quick as 512 at once: benchmarks/promises/predict_batches.py)
LEAST_BATCH, BATCH_NUMBERS = 8, 1 << 16
FLOATS = (np.float64, np.float32)
# of models whose `transform` was last asked for another layer than the last: the layer, its units
_LAYERS_SHOWN: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()


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
    # settings that stand on learnt weights, by the name of their rung
    pretrained: ClassVar[dict[str, dict[str, Any]]] = {}
    # whether a fit that was killed goes on from its `checkpoint`, bit for bit
    resumes: ClassVar[bool] = True
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
    feature_names_in_: np.ndarray
    n_features_in_: int
    split_: SplitMarks | None = None
    running_: Running | None = None
    data_fingerprint_: str = ""  # of what it was fitted on
    # of two classes: the probability of the second from which on an item is called so
    decision_threshold_: float | None = None
    # inputs that are gone through again and again, and themselves on a GPU
    _kept_there: tuple[np.ndarray, Tensor] | None = None

    @classmethod
    def rungs(cls, input_shape: tuple[int, ...]) -> list[str]:
        """What `choose` tries of it on such items: its sizes, and by name the settings that stand
        on learnt weights (`pretrained`)."""
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

    @abc.abstractmethod
    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        """The data of a fit, checked, once the settings are checked too; what was learnt before is
        forgotten."""

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

    def prepare(self, X: Any) -> np.ndarray:
        """Items (N, ...) as its network takes them: texts as tokens."""
        return np.asarray(X)

    def outputs_for(self, data: Any) -> int:
        """Outputs of the network that it would build for a Dataset: classes, or numbers."""
        return int(data.n_outputs)

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

    # -- running --------------------------------------------------------------------------------

    def _rows(
        self,
        inputs: np.ndarray,
        run: Callable[[Any, Tensor], Tensor],
        network: nn.Module | None = None,
    ) -> Tensor:
        """run(network, x) batch by batch: (N, ...) -> (N, ...) in the inputs' precision, so that
        float64 columns are computed in float64."""
        own = network or self.network_
        network = placed(self, own, inputs)
        try:
            return self._answered(network, inputs, run)
        except torch.OutOfMemoryError:
            if network is own:
                raise
            return self._answered(own, inputs, run)  # others hold the GPU's memory

    def _answered(
        self, network: nn.Module, inputs: np.ndarray, run: Callable[[Any, Tensor], Tensor]
    ) -> Tensor:
        network = network.eval()
        if inputs.dtype == np.float64:
            network = copy.deepcopy(network).double()
        home = home_of(network)
        batch = self._items_at_once(inputs, home)
        with torch.inference_mode(), exact_products(home):
            parts = [run(network, x).cpu() for x in pieces(inputs, batch, home, self._kept_there)]
        return torch.cat(parts)

    def _items_at_once(self, inputs: np.ndarray, device: torch.device) -> int:
        if not self.image_only or device.type != "cpu":
            return PREDICT_BATCH
        fitting = BATCH_NUMBERS // max(1, math.prod(inputs.shape[1:]))
        return min(PREDICT_BATCH, max(LEAST_BATCH, 1 << max(0, fitting.bit_length() - 1)))

    def _by_runtime(self, inputs: np.ndarray) -> Tensor | None:
        """The network's answers (N, K) by the runtime it was saved or found to be quickest by."""
        if self.runtime_ is None or self.running_ is None:
            return None
        answers = self.running_.answers(inputs, PREDICT_BATCH)
        return None if answers is None else torch.from_numpy(answers)

    def answering(self, network: nn.Module) -> nn.Module:
        """What answers an item in full by `network`: its time, energy and memory are told. The
        network, unless an answer takes many passes; then it says as `told` what an answer is."""
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
            inputs, targets = self._take_rows(X, y if is_frame(X) else plain_targets(y), reset)
        if reset:
            self.running_ = None
            _LAYERS_SHOWN.pop(self, None)
            self.input_shape_ = tuple(inputs.shape[1:])
            self.input_dtype_ = "uint8" if inputs.dtype == np.uint8 else "float32"
        return inputs, None if targets is None else self._encode(targets, reset, classes)

    def _as_inputs(self, X: Any) -> np.ndarray:
        """Checked inputs of three axes and more: images, but for a task of something else."""
        return as_images(X)

    def _take_rows(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
        """scikit-learn's own checks; on reset a family that needs y complains of its absence."""
        if is_frame(X) and (reset or self.columns_ is not None):
            return self._take_frame(X, y, reset)
        X = densified(X) if is_sparse(X) else X
        if not reset and self._is_encoded(X):
            return self._checked(X, y, reset)
        few: dict[str, Any] = {"dtype": FLOATS, "reset": reset}
        if y is None and not reset:
            return validate_data(self, X, **few), None
        most = {**few, **self.target_checks, "ensure_min_samples": 2 if reset else 1}
        checked = validate_data(self, X, y, **most)
        return checked if isinstance(checked, tuple) else (checked, None)

    def _take_frame(self, frame: Any, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
        """Features (N, D) of a data frame by its `columns_`, which are learnt on reset. One of
        nothing but numbers is to have the names that were fitted in their order, as scikit-learn
        asks; other columns are found by their names, in any order and among others."""
        if reset:
            columns, features = learnt_features(frame, y)
            self._learn_names(frame)
            self.columns_ = columns
        else:
            if all_numbers(self.columns_ or ()) and hasattr(self, "feature_names_in_"):
                self._require_names(frame)
            features = features_of(frame, self.columns_ or ())
        return self._checked(features, plain_targets(y), reset)

    def _learn_names(self, frame: Any) -> None:
        """`feature_names_in_` and `n_features_in_`, as scikit-learn has them."""
        named = as_frame(frame)
        self.n_features_in_ = len(named.columns)
        self.__dict__.pop("feature_names_in_", None)
        if named.has_header:
            self.feature_names_in_ = np.array(named.columns, dtype=object)

    def _require_names(self, frame: Any) -> None:
        """The names that were fitted, in their order; scikit-learn's own words where they differ.
        Raises InputError."""
        fitted, given = list(self.feature_names_in_), as_frame(frame).columns
        if given == fitted:
            return
        lines = ["The feature names should match those that were passed during fit."]
        strange, missing = sorted({*given} - {*fitted}), sorted({*fitted} - {*given})
        if strange:
            lines += ["Feature names unseen at fit time:", *_bulleted(strange)]
        if missing:
            lines += ["Feature names seen at fit time, yet now missing:", *_bulleted(missing)]
        if not (strange or missing):
            lines += ["Feature names must be in the same order as they were in fit."]
        raise InputError("\n".join([*lines, ""]))

    def _is_encoded(self, X: Any) -> bool:
        """Whether these rows are features already, of a model that was fitted on a data frame."""
        wide = getattr(X, "shape", ())[1:] == self.input_shape_ and self.columns_ is not None
        return wide and self.input_shape_ != (self.n_features_in_,)

    def _checked(self, rows: np.ndarray, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
        """scikit-learn's checks of rows (N, D) and targets, whatever the names and the width."""
        most: dict[str, Any] = {"dtype": FLOATS, "ensure_min_samples": 2 if reset else 1}
        if y is not None:
            X, y = check_X_y(rows, y, estimator=self, **most, **self.target_checks)
            return X, y
        if reset and self.__sklearn_tags__().target_tags.required:
            check_X_y(rows, y, estimator=self)  # says that y is missing
        return check_array(rows, estimator=self, **most), None

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


class Layered(TransformerMixin, Estimator):
    """A family whose network has layers to look into: `representations(x)` is their list."""

    def transform(self, X: Any, layer: int | None = None) -> np.ndarray:
        """What a layer makes of X: (N, H) of its H units, flattened; the last layer by default.

        Layers count from 1, bottom up. Raises InputError for a layer that is not there.
        """
        check_is_fitted(self, "network_")
        inputs = self._take(X, reset=False)[0]
        layers = len(self._layers(self.network_, as_tensor(inputs[:2]).to(home_of(self.network_))))
        wanted = layers if layer is None else layer
        if not isinstance(wanted, int | np.integer) or not 1 <= wanted <= layers:
            raise InputError(f"layer must be 1 to {layers}, or None for the last; got {layer!r}.")
        shown: np.ndarray = self._rows(inputs, lambda n, x: self._layers(n, x)[wanted - 1]).numpy()
        _LAYERS_SHOWN.pop(self, None)
        if wanted != layers:
            _LAYERS_SHOWN[self] = (int(wanted), shown.shape[1])
        return shown

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """What the columns of `transform` are called: dnn0, dnn1, ...; of another layer than the
        last that `transform` was just asked for, dnn_layer1_0, ...

        `input_features`: those that were fitted, or None; a unit is made of all of them. Raises
        InputError for others."""
        check_is_fitted(self, "network_")
        if input_features is not None:
            self._require_input_features(np.asarray(input_features, dtype=object))
        name = type(self).__name__.lower()
        if self in _LAYERS_SHOWN:
            layer, width = _LAYERS_SHOWN[self]
            return np.array([f"{name}_layer{layer}_{k}" for k in range(width)], dtype=object)
        item = torch.zeros(1, *self.input_shape_)
        raw = item.to(torch.uint8) if self.input_dtype_ == "uint8" else item
        width = self._layers(self.network_, raw.to(home_of(self.network_)))[-1].shape[1]
        return np.array([f"{name}{k}" for k in range(width)], dtype=object)

    def _require_input_features(self, names: np.ndarray) -> None:
        fitted = getattr(self, "feature_names_in_", None)
        if fitted is not None and not np.array_equal(fitted, names):
            raise InputError(
                f"input_features is not equal to feature_names_in_: {list(names)[:5]}."
            )
        if len(names) != self.n_features_in_:
            raise InputError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(names)}."
            )

    @torch.inference_mode()
    def _layers(self, network: Any, x: Tensor) -> list[Tensor]:
        """(B, H_l) of each layer, bottom up."""
        dtype = next(network.parameters()).dtype
        x = x if x.dtype == torch.uint8 else x.to(dtype)
        return [torch.flatten(hidden, 1) for hidden in network.eval().representations(x)]


def dataset_parts(dataset: Any, validation: Any) -> tuple[Any, Any, Any]:
    """A Dataset's training part, its labels as class names, or how alike pairs are, and its
    validation part; labels are None where the items have none. Raises InputError for boxes or
    masks."""
    dataset.require_task("classification", "unlabelled", "faces", "video", "text", "pairs")
    names = np.asarray(dataset.classes) if dataset.classes else None

    def answers(part: Any) -> Any:
        if names is not None:
            return names[part.y]
        return None if dataset.targets is None else part.y

    train_part, held = dataset.train, dataset.validation
    if validation is None and len(held.y):
        validation = (held.X, answers(held))
    return train_part.X, answers(train_part), validation


def is_dataset(given: Any, y: Any) -> bool:
    """Whether X is a Dataset, which brings its own labels; a frame may have a column `train`."""
    return y is None and not is_frame(given) and hasattr(given, "train")


def _bulleted(names: list[str], most: int = 5) -> list[str]:
    return [f"- {name}" for name in names[:most]] + ["- ..."] * (len(names) > most)


def columns_of(dataset: Any) -> list[Column] | None:
    """The Dataset's columns, unless its inputs have been changed to another width since."""
    columns = getattr(dataset, "columns", None)
    return columns if columns and (width(columns),) == dataset.input_shape else None


def _told(shape: tuple[int, ...]) -> str:
    """What items of this shape are called."""
    return f"clips of {shape} (T, C, H, W)" if len(shape) == 4 else f"images of {shape} (C, H, W)"


def _dimensions(X: Any) -> int:
    return X.ndim if hasattr(X, "ndim") else np.ndim(X) if isinstance(X, list | tuple) else 2

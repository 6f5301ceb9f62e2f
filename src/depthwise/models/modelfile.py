"""A saved model: a folder of two files or three, and loading it runs no code.

    model.safetensors   every tensor of the network
    model.onnx          of a model that runs by another runtime than torch: the graph it reads
    model.json          format, family, settings, classes, fingerprints, versions, and of a table
                        what each of its columns became

The JSON carries the SHA-256 of the weights, so a damaged or swapped file is noticed. A network is
rebuilt without memory ("meta" device), compared tensor by tensor with what the file holds, and only
then filled: a description that promises a terabyte is refused before a byte of it is allocated.
Building ends as soon as the network has many more parts than the file has tensors, and no number
that says how large something is may be out of proportion to them (models/bounds.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from depthwise.checkpoint import write_atomically
from depthwise.data.dataset import SplitMarks
from depthwise.data.tables.columns import Column, from_plain, to_plain, width
from depthwise.errors import ModelFileError
from depthwise.models.bounds import no_more_parts_than, require_in_proportion
from depthwise.reshaping.edits import edits_of, reshape
from depthwise.runtimes.attached import WITHOUT_GRAPH, Running, read_choice

__all__ = ["FORMAT", "read_model", "versions", "write_model"]

FORMAT = 1
WEIGHTS, DESCRIPTION, GRAPH = "model.safetensors", "model.json", "model.onnx"
WRONG_DESCRIPTION = (  # what building by a description that is nonsense ends in
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
FILLING = frozenset({Tensor.normal_, Tensor.uniform_})
CLASS_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool", "U": "str", "O": "str"}


class _Saved(Protocol):
    """What of an estimator goes into its file."""

    family: ClassVar[str]
    input_shape_: tuple[int, ...]
    input_dtype_: str
    n_features_in_: int
    history_: dict[str, Any]
    columns_: list[Column] | None
    pixel_range_: tuple[float, float] | None
    split_: SplitMarks | None
    class_order_: list[str] | None
    running_: Running | None
    data_fingerprint_: str
    decision_threshold_: float | None

    @property
    def network_(self) -> nn.Module: ...

    @property
    def known_classes(self) -> np.ndarray | None: ...

    @property
    def runtime_(self) -> dict[str, Any] | None: ...

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def describe_network(self) -> dict[str, Any]: ...


def versions() -> dict[str, str]:
    names = ("depthwise", "torch", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def write_model(model: _Saved, folder: Path) -> Path:
    """Save a fitted model; each file is replaced in one step, the description last."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.network_.state_dict().items()}
    write_atomically(folder / WEIGHTS, lambda scratch: save_file(tensors, scratch))
    description = {
        "format": FORMAT,
        "family": model.family,
        "settings": _plain(model.get_params(deep=False)),
        "network": model.describe_network(),
        "shrunk": edits_of(model.network_),
        "runtime": _write_runtime(model, folder),
        "input_shape": list(model.input_shape_),
        "input_dtype": model.input_dtype_,
        "n_features_in": int(model.n_features_in_),
        "preprocessing": "none: the network's first layer standardises raw inputs",
        "columns": to_plain(model.columns_),
        **({"pixel_range": list(model.pixel_range_)} if model.pixel_range_ else {}),
        "classes": _class_names(model),
        "classes_kind": _class_kind(model),
        "class_order": model.class_order_,
        "decision_threshold": model.decision_threshold_,
        "data_fingerprint": model.data_fingerprint_ or None,
        "split": model.split_._asdict() if model.split_ else None,
        "history": model.history_,
        "weights_sha256": _sha256(folder / WEIGHTS),
        "versions": versions(),
    }
    text = json.dumps(description, indent=1, allow_nan=False, default=str)
    write_atomically(folder / DESCRIPTION, lambda scratch: scratch.write_text(text))
    return folder


def read_model(folder: str | Path, families: Mapping[str, type]) -> Any:
    """The model that `write_model` saved; `families` maps its family's name to the class.

    Raises ModelFileError, naming the file and the remedy, for anything missing, damaged, newer
    than this version, or not ours.
    """
    folder = Path(folder)
    description = _read_description(folder / DESCRIPTION)
    tensors = _read_weights(folder / WEIGHTS, description.get("weights_sha256"))
    try:
        model = _rebuild(description, tensors, families)
        model.running_ = _read_runtime(description.get("runtime"), model.network_, folder)
        return model
    except WRONG_DESCRIPTION as error:
        if isinstance(error, ModelFileError):
            raise
        detail = " ".join(str(error).split())[:300]
        raise ModelFileError(
            f"{folder / DESCRIPTION} does not describe the weights beside it ({detail}). "
            "Restore the folder from a copy, or fit again."
        ) from None


def _rebuild(
    description: dict[str, Any], tensors: dict[str, Tensor], families: Mapping[str, type]
) -> Any:
    family = description["family"]
    if family not in families:
        known = ", ".join(sorted(families))
        raise ModelFileError(
            f"model.json names the family {family!r}, which this version does not have ({known}). "
            "Update depthwise, or load it with the version that saved it."
        )
    require_in_proportion(description, tensors)
    model = families[family](**_settings(description["settings"]))
    with torch.device("meta"), _Unfilled(), no_more_parts_than(tensors):
        network = reshape(model.rebuild(description["network"]), description.get("shrunk", []))
    _check_shapes(network, tensors)
    network.load_state_dict(tensors, strict=True, assign=True)
    model.network_ = network.eval()
    model.input_shape_ = tuple(int(side) for side in description["input_shape"])
    model.input_dtype_ = str(description["input_dtype"])
    model.n_features_in_ = int(description["n_features_in"])
    classes = _classes(description)
    if classes is not None:
        model.classes_ = classes
        model.decision_threshold_ = _decision_threshold(description)
        model.class_order_ = _class_order(description)
    model.history_ = description["history"]
    model.data_fingerprint_ = description["data_fingerprint"] or ""
    model.columns_ = _columns(description, model.input_shape_)
    model.split_ = _split(description)
    model.pixel_range_ = _pixel_range(description)
    return model


class _Unfilled(TorchFunctionMode):
    """Tensors without memory are not drawn at random: beside being of no use, the first draw of a
    process has torch load its compiler, which takes longer than all else of loading a model."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in FILLING and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _write_runtime(model: _Saved, folder: Path) -> dict[str, Any] | None:
    if model.runtime_ is None or model.running_ is None:
        return None
    graph = model.running_.graph
    if graph is not None:
        write_atomically(folder / GRAPH, lambda scratch: scratch.write_bytes(graph))
    return {**model.runtime_, "graph_sha256": graph and _sha256(folder / GRAPH)}


def _read_runtime(about: Any, network: nn.Module, folder: Path) -> Running | None:
    if about is None:
        return None
    choice, wanted, graph = read_choice(about), about["graph_sha256"], None
    if (wanted is None) != (choice["name"] in WITHOUT_GRAPH):
        raise ValueError(f"a runtime {choice['name']!r} whose graph is {wanted!r}")
    if wanted is not None:
        path = folder / GRAPH
        if not path.is_file() or _sha256(path) != wanted:
            raise ModelFileError(
                f"{path} is not the file that was saved (it is missing, or its SHA-256 differs "
                "from model.json). Restore it from a copy, or fit again."
            )
        graph = path.read_bytes()
    return Running(network, choice, graph)


def _columns(description: dict[str, Any], input_shape: tuple[int, ...]) -> list[Column] | None:
    columns = from_plain(description.get("columns"))
    if columns is not None and (width(columns),) != input_shape:
        raise ValueError(f"columns of {width(columns)} features for inputs of {input_shape}")
    return columns


def _pixel_range(description: dict[str, Any]) -> tuple[float, float] | None:
    about = description.get("pixel_range")
    if about is None:
        return None
    low, high = (float(level) for level in about)
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"levels of pixels from {low} to {high}")
    return low, high


def _split(description: dict[str, Any]) -> SplitMarks | None:
    about = description.get("split")
    if about is None:
        return None
    split = SplitMarks(about["train"], about["test"], about["seed"])
    if not (isinstance(split.train, str) and isinstance(split.test, str)):
        raise ValueError("a split whose marks are no text")
    if split.seed is not None and (type(split.seed) is not int or split.seed < 0):
        raise ValueError(f"a split of the seed {split.seed!r}")
    return split


def _class_names(model: _Saved) -> list[Any] | None:
    return None if model.known_classes is None else model.known_classes.tolist()


def _class_kind(model: _Saved) -> str | None:
    return None if model.known_classes is None else CLASS_KINDS[model.known_classes.dtype.kind]


def _classes(description: dict[str, Any]) -> np.ndarray | None:
    """None of a model that knows no labels: one of numbers, or of the data itself."""
    names, kind = description["classes"], description["classes_kind"]
    if names is None and kind is None:
        return None
    if kind not in CLASS_KINDS.values() or len(names) != description["network"]["n_classes"]:
        raise ValueError(f"{len(names)} classes of kind {kind!r}")
    return np.array(names, dtype=kind)


def _class_order(description: dict[str, Any]) -> list[str] | None:
    """The classes as the Dataset counts them; None in files of versions that did not keep it."""
    order = description.get("class_order")
    if order is not None and not set(map(str, description["classes"])) <= set(order):
        raise ValueError(f"an order of classes {order!r} for {description['classes']!r}")
    return order


def _decision_threshold(description: dict[str, Any]) -> float | None:
    cut = description.get("decision_threshold")
    return None if cut is None else float(cut)


def _check_shapes(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    wanted = {k: (tuple(v.shape), v.dtype) for k, v in network.state_dict().items()}
    found = {k: (tuple(v.shape), v.dtype) for k, v in tensors.items()}
    if wanted != found:
        differing = sorted(set(wanted.items()) ^ set(found.items()), key=str)
        raise ValueError(f"tensor {differing[0][0]!r} differs in name, shape or type")


def _read_description(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelFileError(
            f"{path} does not exist: {path.parent} is not a saved model. Give the folder that "
            "`depthwise fit` or `choose` (its best/) wrote."
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path} cannot be read ({error}). Restore it from a copy, or fit again."
        ) from None
    found = description.get("format") if isinstance(description, dict) else None
    if not isinstance(found, int) or found < 1:
        raise ModelFileError(f"{path} has no format number: it is not a depthwise model.")
    if found > FORMAT:
        raise ModelFileError(
            f"{path} has format {found}, newer than this version reads ({FORMAT}). "
            "Update depthwise: pip install --upgrade depthwise."
        )
    return description


def _read_weights(path: Path, expected_sha256: Any) -> dict[str, Tensor]:
    """The tensors, copied out of the file's memory map: there they are not aligned as torch aligns
    its own, and on some processors products then differ in the last bit."""
    try:
        if _sha256(path) != expected_sha256:
            raise ModelFileError(
                f"{path} is not the file that was saved (its SHA-256 differs from model.json). "
                "Restore it from a copy, or fit again."
            )
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path} cannot be read ({error}). Restore it from a copy, or fit again."
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in settings.items()}


def _plain_value(value: Any) -> Any:
    if callable(value):  # a metric of one's own is not learnt
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.random.RandomState):
        return None
    return value


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON turned tuples into lists; settings are hashable tuples again."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}

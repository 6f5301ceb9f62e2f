"""Export: a model as a file for other programs, checked before it is left there.

    export(model, "onnx", "out", samples=X)     out/model.onnx and out/run_onnx.py

The file takes raw inputs, (B, C, H, W) pixels 0..255 or (B, D) columns, for any batch B: the
standardisation is inside. It is written to a scratch folder, read back, and run on the samples one
by one and together; its answers must be the model's, or nothing is left behind:

    as trained   class probabilities within 1e-3 (numbers: of their standard deviation)
    int8         99% of all items keep their class, as far as the samples tell (picking.py), since
                 a tie may be rounded either way (numbers: within 0.1 of the deviation)

A processor whose 8-bit products saturate (saturation.py) is no reason to refuse a file that is
meant for another: what fails in its kernels is compared once more without them, and a file that is
right is left, with a note of what could not be verified here.

Shapes: N samples, B batch, C channels, H W image, D features, K classes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from depthwise.checkpoint import write_atomically
from depthwise.data.tables.columns import to_plain
from depthwise.errors import InputError, MissingExtraError, one_line
from depthwise.exporting.export_formats import FORMATS, Format
from depthwise.exporting.places import USUAL, Place, place_of
from depthwise.exporting.scripts import script_of
from depthwise.folder_lock import sole_use
from depthwise.layers import spreads
from depthwise.measuring.metric import readable
from depthwise.models.estimator import Estimator
from depthwise.reshaping.int8 import is_int8, may_saturate
from depthwise.runtimes import Program
from depthwise.runtimes.picking import agrees, apart
from depthwise.scratch import scratch_folder

__all__ = ["Exported", "export"]

MADE_UP = 64  # samples, where none are given
NOT_VERIFIED = (
    "Not verified with {}'s 8-bit products, which are not exact on this processor ({}); verified "
    "without them."
)
WIDE = (
    "Its weights have 8 bits: on x86 without VNNI other programs may answer otherwise; quantised "
    "with weight_bits=7 it answers the same everywhere."
)

PREPARED = {
    False: "none: give raw inputs; the first layer standardises them",
    True: "tokens, as depthwise.load(MODEL).tokenize(texts) makes them",
}


@dataclass(frozen=True)
class Exported:
    """What was left in a folder, and how near its answers are to the model's.

    max_difference: of class probabilities, or of numbers in standard deviations; same_class: share
    of the samples, None of numbers; real: whether the samples were given; note: what could not be
    verified on this machine, or where the file will answer otherwise, "" for nothing; size_bytes:
    of the files together.
    """

    files: list[Path]
    script: Path
    samples: int
    real: bool
    max_difference: float
    same_class: float | None
    note: str = ""
    size_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "files": list(map(str, self.files)), "script": str(self.script)}

    def __str__(self) -> str:
        kind = "real" if self.real else "made-up"
        same = "" if self.same_class is None else f", {self.same_class:.1%} same class"
        size = readable(self.size_bytes / 1e6)
        return (
            f"{self.files[0]}, {size} MB: on {self.samples} {kind} samples its answers differ from "
            f"the model's by at most {self.max_difference:.1e}{same}. {self.script} runs it."
            + (f" {self.note}" if self.note else "")
        )


def export(
    model: Estimator, to: str | None = None, out: str | Path = "export", samples: Any = None
) -> Exported:
    """Write a fitted model as `to`: "onnx", "torch-export", "openvino" or "executorch", into the
    folder `out` (or as the file `out`, say small.onnx), with a script that runs it without
    depthwise. to None: what the file's suffix says, else ONNX.

    samples: (N, ...) real inputs to check on, 64 to 1,000; None makes some up. Raises InputError
    for a model or a format that cannot be written, and where the file's answers are not the
    model's; MissingExtraError for a library that is not installed.
    """
    place = place_of(to, out)
    to = place.to
    if to not in FORMATS:
        raise InputError(f"to must be one of {', '.join(FORMATS)}; got {to!r}.")
    if not model.is_fitted:
        raise InputError("this model is not fitted: fit it before it is exported.")
    form = FORMATS[to]
    if remedy := form.requires():
        raise MissingExtraError(f"export to {to} {remedy}.")
    rows = _rows(model, samples)
    with contextlib.nullcontext() if place.stem != USUAL else sole_use(place.folder):
        files, script, difference, same, note = _written(model, form, rows, place)
    size, real = sum(path.stat().st_size for path in files), samples is not None
    return Exported(files, script, len(rows), real, difference, same, note, size)


def _written(
    model: Estimator, form: Format, rows: np.ndarray, place: Place
) -> tuple[list[Path], Path, float, float | None, str]:
    """(files, script, largest difference, share with the same class, note), once the files have
    been written to a scratch folder and checked there."""
    with scratch_folder(place.of("export")) as scratch:
        _write(model, place.to, form, rows, scratch)
        compared = _check(model, place.to, form, rows, scratch)
        files = [_leave(scratch / name, place.of(name)) for name in form.files]
    name, text = script_of(place, form.files, about(model))
    script = place.folder / name
    write_atomically(script, lambda path: path.write_text(text, "utf-8"))
    return files, script, *compared


def _rows(model: Estimator, samples: Any) -> np.ndarray:
    """Samples (N, ...) of the model's own kind, or made-up ones."""
    shape, dtype = tuple(model.input_shape_), model.input_dtype_
    if dtype == "int64":
        return _tokens(model, samples)
    if samples is None:
        noise = np.random.default_rng(0)
        if dtype == "uint8":
            return noise.integers(0, 256, (MADE_UP, *shape), dtype=np.uint8)
        return noise.standard_normal((MADE_UP, *shape)).astype(np.float32)
    rows = np.ascontiguousarray(np.asarray(samples, dtype=dtype))
    if not len(rows) or tuple(rows.shape[1:]) != shape:
        raise InputError(f"samples must be (N, {', '.join(map(str, shape))}); got {rows.shape}.")
    return rows


def _tokens(model: Estimator, texts: Any) -> np.ndarray:
    """Texts as tokens (N, T), or pairs of them (N, 2, T), T that of the longest text learnt from;
    without any, of the two tokens that every vocabulary has."""
    shape = tuple(model.input_shape_)
    if texts is None:
        made = np.random.default_rng(0).integers(0, 2, (MADE_UP, *shape))
        made[..., 0] = 1  # no text is empty
        return made
    tokens = model._take(texts, reset=False)[0][..., : shape[-1]]
    filled = np.full((len(tokens), *shape), model.filling_token, np.int64)
    filled[..., : tokens.shape[-1]] = tokens
    return filled


def about(model: Estimator) -> dict[str, Any]:
    """What goes into the file beside the network."""
    classes, columns = model.known_classes, to_plain(model.columns_)
    return {
        "made_by": f"depthwise {version('depthwise')}",
        "family": model.family,
        "input_shape": list(model.input_shape_),
        "input_dtype": model.input_dtype_,
        "preprocessing": PREPARED[model.input_dtype_ == "int64"],
        "answers": answers_of(model),
        "classes": None if classes is None else classes.tolist(),
        # the probability of the second of two classes from which on an item is called so
        "decision_threshold": model.decision_threshold_,
        **({} if columns is None else {"columns": columns}),
        **({"pixel_range": list(model.pixel_range_)} if model.pixel_range_ else {}),
        "shrunk": [edit["kind"] for edit in model.shrunk_],
    }


def answers_of(model: Estimator) -> str:
    """What the numbers are that its network answers with."""
    known = next((row.outputs for row in model.task_rows() if row.outputs), "")
    return known or ("logits of classes" if model.gives_logits else "numbers")


def _write(model: Estimator, to: str, form: Format, rows: np.ndarray, scratch: Path) -> None:
    network: nn.Module = model.network_
    try:
        form.write(network.eval(), torch.from_numpy(rows[:64]), about(model), scratch)
    except Exception as error:  # other people's compilers fail in any way
        raise InputError(
            f"{model.family} cannot be written as {to} ({one_line(error)}). "
            f"Try another format: {', '.join(FORMATS)}."
        ) from error


def _check(
    model: Estimator, to: str, form: Format, rows: np.ndarray, scratch: Path
) -> tuple[float, float | None, str]:
    """(largest difference, share with the same class, note) of the file's answers, read back, to
    the samples. Raises InputError where they are not the model's."""
    with torch.inference_mode():
        expected = model.network_(torch.from_numpy(rows)).float().numpy()
    wide, notes = may_saturate(model.network_), []
    about = (is_int8(model.network_), model.gives_logits, spreads(model.network_).numpy())
    check = _Check(to, scratch, rows, expected, *about)
    difference, same, reason = check.compared(form.read, form.largest_batch)
    if reason and check.whole and form.read_slowly is not None:
        again = check.compared(form.read_slowly, form.largest_batch)
        if not again[2]:
            notes.append(NOT_VERIFIED.format(form.runtime, reason))
            difference, same, reason = again
    if reason:
        raise InputError(f"the {to} file does not answer as the model ({reason}); none kept.")
    note = " ".join([*notes, *([WIDE] if wide else [])])
    return difference, same if check.logits else None, note


@dataclass(frozen=True)
class _Check:
    """What a file in the folder `scratch` is compared with: the model's answers `expected` (N, K)
    to `rows` (N, ...). whole: whether it computes in 8-bit numbers; units (K,): what the answers
    are compared in."""

    to: str
    scratch: Path
    rows: np.ndarray
    expected: np.ndarray
    whole: bool
    logits: bool
    units: np.ndarray

    def compared(
        self, read: Callable[[Path], Program], largest_batch: int
    ) -> tuple[float, float, str]:
        """(largest difference, share with the same class, why that is too far or "") of the
        samples together, and of a few one by one."""
        try:
            program, step = read(self.scratch), min(len(self.rows), largest_batch)
            parts = [program(self.rows[i : i + step]) for i in range(0, len(self.rows), step)]
            singles = [program(row[None]) for row in self.rows[:8]]
        except Exception as error:
            raise InputError(
                f"the {self.to} file does not run ({one_line(error)}); none kept."
            ) from error
        worst, same, precision = 0.0, 1.0, "int8" if self.whole else "fp32"
        for given, wanted in (
            (np.concatenate(parts), self.expected),
            (np.concatenate(singles), self.expected[:8]),
        ):
            given, wanted = given / self.units, wanted / self.units
            if reason := agrees(precision, given, wanted, self.logits):
                return worst, same, reason
            difference, alike = apart(given, wanted, self.logits)
            worst, same = max(worst, difference), min(same, alike)
        return worst, same, ""


def _leave(scratch: Path, path: Path) -> Path:
    write_atomically(path, lambda place: shutil.copyfile(scratch, place))
    return path

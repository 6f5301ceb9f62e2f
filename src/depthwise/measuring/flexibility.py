"""Flexibility: the share of a support matrix that really ran and agreed.

               quick                    full
    runtime    eager, torch.export      those and torch.compile, ONNX Runtime, OpenVINO, ExecuTorch
    precision  fp32, bf16               fp32, bf16, int8
    batch      1, 64                    1, 7, 64
    threads    1                        1, all cores
    size       as given                 and 3/4 and 3/2 of the sides of images, where the network
                                        takes them (one thread, batch 1)

Each cell runs the same samples and its answers are compared with those of eager fp32 one sample at
a time: class probabilities (softmax of the logits), or, of a network that answers with numbers such
as a reconstruction, these in units of their standard deviation. A cell passes when the largest
difference is at most 1e-4 in fp32. In bf16, whose 8 bits of mantissa round every layer, it passes
at 2e-2, or when 95% of the samples keep their largest answer (the same class) and are within 5e-2;
in int8, quantised on these samples (reshaping/quantise.py), likewise at 5e-2, or 95% within 0.15. A
network that is int8 already is compared with itself in torch, and has no other precision.

A runtime is prepared once a precision, with a dynamic batch, so that all batches run the same
program; a network whose export fixes the batch fails there, as it would when shipped. ExecuTorch,
which plans its memory ahead, is prepared for each batch. A runtime that is not installed fails with
what to install. Cells run on this machine's processor, whatever device the other metrics are of.
The quick matrix takes about a second, the full one minutes (torch.compile builds C++).

Shapes: B batch, N samples, C channels, H W image, K classes or other answers.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import has_bfloat16
from depthwise.errors import one_line
from depthwise.host import available_cores
from depthwise.layers import spreads
from depthwise.measuring.metric import Metric
from depthwise.measuring.speed import using_threads
from depthwise.reshaping.int8 import is_int8
from depthwise.runtimes import PRECISIONS, RUNTIMES, Program
from depthwise.runtimes.onnx_graph import sharing_graphs
from depthwise.runtimes.program import in_precision

QUICK = ("eager", "torch.export")
FULL = ("eager", "torch.compile", "torch.export", "onnxruntime", "openvino", "executorch")
BATCHES = (1, 64)
FULL_BATCHES = (1, 7, 64)
SCALES = (0.75, 1.5)  # of an image's sides
TOLERANCES = {"fp32": (1e-4, 0.0), "bf16": (2e-2, 5e-2), "int8": (5e-2, 0.15)}
AGREEMENT = 0.95  # share of samples within the second tolerance
EMULATED = 10  # times as long as in fp32, about, on a processor without bf16 arithmetic
SINGLES = 8  # parts that the samples are run in, at most
ITEMS = 64
Answers = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cell:
    """One way to run the network; max_difference: of its answers, None where it did not run;
    size: "HxW" of images of another size than the given ones."""

    runtime: str
    precision: str
    batch: int
    ok: bool
    reason: str
    max_difference: float | None
    threads: int = 1
    size: str = ""


def flexibility(
    network: nn.Module,
    samples: Tensor,
    logits: bool = True,
    *,
    full: bool = False,
    runtimes: Sequence[str] | None = None,
    seconds: float = math.inf,
) -> Metric:
    """The share of cells that pass; details: cells. samples: (64, ...) as the network takes them,
    real ones if there are any; fewer are repeated. logits: whether the answers are of classes.
    full: the whole matrix, in minutes; runtimes: which, of RUNTIMES; seconds: what would end later
    is left out, and the share is of the cells that were run."""
    names = tuple(runtimes or (FULL if full else QUICK))
    batch = samples.repeat(-(-ITEMS // len(samples)), *[1] * (samples.dim() - 1))[:ITEMS]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), using_threads(1), sharing_graphs():  # more may wait for each other
            matrix = _Matrix(network, batch, logits, full, time.monotonic() + seconds)
            cells = matrix.cells(names)
    finally:
        network.train(was_training)
    passed = sum(cell.ok for cell in cells)
    share = passed / len(cells)
    return Metric(
        share,
        "fraction",
        "measured",
        low=share,
        high=share,
        source=f"{passed} of {len(cells)} cells ran here and agreed"
        + ("; there was no time for the others" if matrix.late else ""),
        details={"cells": [asdict(cell) for cell in cells], "full": full},
    )


class _Matrix:
    """The cells of a network at the samples' size and, if `full`, at others."""

    def __init__(
        self, network: nn.Module, samples: Tensor, logits: bool, full: bool, deadline: float
    ):
        self.deadline, self.late = deadline, False
        self.network, self.samples, self.logits, self.full = network, samples, logits, full
        self.precisions: tuple[str, ...] = PRECISIONS if full else PRECISIONS[:2]
        if is_int8(network):
            self.precisions = ("int8",)
        self.batches = FULL_BATCHES if full else BATCHES
        cores = available_cores()
        self.threads = (1, cores) if full and cores > 1 else (1,)
        self.networks: dict[str, Any] = {}

    def cells(self, names: Sequence[str]) -> list[Cell]:
        found: list[Cell] = []
        longest = 0.0
        for name, precision in itertools.product(names, self.precisions):
            emulated = precision == "bf16" and not has_bfloat16()
            if found and self._is_late(longest * (EMULATED if emulated else 1.0)):
                continue
            begun = time.monotonic()
            found += self._own_size(name, precision)
            longest = max(longest, time.monotonic() - begun) if not emulated else longest
        sizes = _other_sizes(self.network, self.samples) if self.full else ()
        for size, name, precision in itertools.product(sizes, names, self.precisions):
            if self._is_late():
                return found
            found += self._rows(name, precision, size, (1,), (1,), _told_size(size))
        return found

    def _is_late(self, expected: float = 0.0) -> bool:
        """Whether what takes `expected` seconds would end after the deadline."""
        is_late = time.monotonic() + expected > self.deadline
        self.late = self.late or is_late
        return is_late

    def _own_size(self, name: str, precision: str) -> list[Cell]:
        return self._rows(name, precision, self.samples, self.batches, self.threads, "")

    def _rows(
        self,
        name: str,
        precision: str,
        samples: Tensor,
        batches: Sequence[int],
        threads: Sequence[int],
        size: str,
    ) -> list[Cell]:
        """Of one runtime and precision, every batch and number of threads."""
        answers = _probabilities if self.logits else _scaled(self.network, samples)
        expected = torch.cat([answers(self.network(one)) for one in samples.split(1)])  # (N, K)
        found, kept = [], None
        for n in threads if RUNTIMES[name].any_batch else (1,):  # which has threads of its own
            for batch in batches:
                if kept is None or not RUNTIMES[name].any_batch:
                    kept = self._prepared(name, precision, samples, batch)
                program = kept if isinstance(kept, str) else kept.with_threads(n)
                verdict = _verdict(precision, program, samples, batch, expected, answers)
                found.append(Cell(name, precision, batch, *verdict, n, size))
        return found

    def _prepared(self, name: str, precision: str, samples: Tensor, batch: int) -> Program | str:
        """The network as that runtime runs it, or why it cannot."""
        runtime = RUNTIMES[name]
        if remedy := runtime.available():
            return remedy
        try:
            if precision == "int8" and precision not in self.networks:
                self.networks[precision] = in_precision(self.network, precision, self.samples)
            network = self.networks.get(precision, self.network)
            example = samples if runtime.any_batch else samples[:batch]
            return runtime.prepare(network, example, precision=precision)
        except Exception as error:  # a runtime may fail in any way; the cell says how
            return f"export failed: {one_line(error)}"


def _verdict(
    precision: str,
    program: Program | str,
    samples: Tensor,
    batch: int,
    expected: Tensor,
    answers: Answers,
) -> tuple[bool, str, float | None]:
    """(ok, reason, max_difference) of a cell."""
    if isinstance(program, str):
        return False, program, None
    try:
        got = _run(program, samples, batch, answers)
    except Exception as error:
        return False, f"run failed: {one_line(error)}", None
    if got.shape != expected[: len(got)].shape or not bool(got.isfinite().all()):
        return False, f"output is {tuple(got.shape)} or not finite", None
    return agreement(precision, got, expected[: len(got)])


def agreement(precision: str, got: Tensor, expected: Tensor) -> tuple[bool, str, float]:
    """Whether answers (N, K, ...) agree within the precision's tolerance, why, and how far."""
    apart = (got - expected).abs().amax(1)  # (N, ...)
    same = got.argmax(1) == expected.argmax(1)
    difference = float(apart.max())
    close, loose = TOLERANCES[precision]
    alike = same & (apart <= loose)
    ok = difference <= close or (loose > 0 and int(alike.sum()) >= AGREEMENT * alike.numel())
    share = float(same.float().mean())
    verdict = "agrees" if ok else "differs"
    return ok, f"{verdict}: by at most {difference:.1e}, {share:.0%} same class", difference


def _run(program: Program, samples: Tensor, batch: int, answers: Answers) -> Tensor:
    """Answers (N, K) to the first samples, `batch` at a time."""
    parts = [part for part in samples.split(batch)[:SINGLES] if len(part) == batch]
    return torch.cat([answers(torch.from_numpy(program(part.numpy()))) for part in parts])


def _other_sizes(network: nn.Module, samples: Tensor) -> list[Tensor]:
    """Images (N, C, H', W') of the other sizes that the network takes: nearest pixels."""
    if samples.dim() != 4:
        return []
    found = []
    for scale in SCALES:
        height, width = (max(1, round(side * scale)) for side in samples.shape[2:])
        rows = torch.arange(height) * samples.shape[2] // height
        columns = torch.arange(width) * samples.shape[3] // width
        images = samples[:, :, rows][:, :, :, columns].contiguous()
        try:
            network(images[:1])
        except Exception:  # most networks are for one size
            continue
        found.append(images)
    return found


def _told_size(images: Tensor) -> str:
    return f"{images.shape[2]}x{images.shape[3]}"


def _probabilities(logits: Tensor) -> Tensor:
    """Of classes (N, K, ...), or of tokens (N, T, V) -> (N, V, T)."""
    return (logits.mT if logits.dim() == 3 else logits).float().softmax(1)


def _scaled(network: nn.Module, batch: Tensor) -> Answers:
    """Numbers (N, D) in units of the standard deviation of all that are expected, and before that
    each target in units of its own spread, where the network knows it."""
    units = spreads(network)
    spread = float(np.maximum((network(batch) / units).float().std().item(), 1e-12))
    return lambda numbers: torch.flatten(numbers / units, 1).float() / spread

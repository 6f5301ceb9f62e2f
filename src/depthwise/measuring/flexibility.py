"""Flexibility: the share of a support matrix that really ran and agreed.

    runtime  eager | torch.export      precision  fp32 | bf16      batch  1 | 64

Each cell runs the same samples and its answers are compared with those of eager fp32 one sample at
a time: class probabilities (softmax of the logits), or, of a network that answers with numbers such
as a reconstruction, these in units of their standard deviation. A cell passes when the largest
difference is at most 1e-4 in fp32. In bf16, whose 8 bits of mantissa round every layer, it passes
at 2e-2, or when 95 % of the samples keep their largest answer (the same class) and are within 5e-2.

torch.export is done once a precision, with a dynamic batch, so that batch 1 and 64 run the same
program; a network whose export fixes the batch fails there, as it would when shipped. Cells run
on this machine's processor with one thread, whatever device the other metrics are of.
"""

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from depthwise.measuring.metric import Metric
from depthwise.measuring.speed import using_threads

RUNTIMES = ("eager", "torch.export")
PRECISIONS = ("fp32", "bf16")
BATCHES = (1, 64)
FP32_TOLERANCE = 1e-4
BF16_TOLERANCE = 2e-2
BF16_LOOSE_TOLERANCE, BF16_AGREEMENT = 5e-2, 0.95
SINGLES = 8  # samples that are run one at a time in a batch 1 cell
Program = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cell:
    """One way to run the network; max_difference: of its answers, None where it did not run."""

    runtime: str
    precision: str
    batch: int
    ok: bool
    reason: str
    max_difference: float | None


def flexibility(network: nn.Module, samples: Tensor, logits: bool = True) -> Metric:
    """The share of cells that pass; details: cells. samples: (64, ...) as the network takes them,
    real ones if there are any; fewer are repeated. logits: whether the answers are of classes."""
    batch = samples.repeat(-(-64 // len(samples)), *[1] * (samples.dim() - 1))[:64]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), using_threads(1):  # more may wait for each other
            cells = _matrix(network, batch, _probabilities if logits else _scaled(network, batch))
    finally:
        network.train(was_training)
    share = sum(cell.ok for cell in cells) / len(cells)
    return Metric(
        share,
        "fraction",
        "measured",
        low=share,
        high=share,
        source=f"{sum(cell.ok for cell in cells)} of {len(cells)} cells ran here and agreed",
        details={"cells": [asdict(cell) for cell in cells]},
    )


def _matrix(network: nn.Module, batch: Tensor, answers: Program) -> list[Cell]:
    expected = torch.cat([answers(network(one)) for one in batch.split(1)])  # (64, K)
    cells = []
    for runtime in RUNTIMES:
        for precision in PRECISIONS:
            program = _prepared(runtime, precision, network, batch)
            cells += [
                _cell(runtime, precision, n, program, batch, expected, answers) for n in BATCHES
            ]
    return cells


def _prepared(runtime: str, precision: str, network: nn.Module, batch: Tensor) -> Program | str:
    """The network as that runtime runs it, or why it cannot."""
    eager = _in_precision(network, precision)
    if runtime == "eager":
        return eager
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _exported(_Forward(eager), batch[:2])
    except Exception as error:  # a runtime may fail in any way; the cell says how
        return f"export failed: {_one_line(error)}"


def _exported(forward: nn.Module, example: Tensor) -> Program:
    shapes = ({0: torch.export.Dim("batch", min=1, max=4096)},)
    program = torch.export.export(forward, (example,), dynamic_shapes=shapes)
    return program.module()


class _Forward(nn.Module):
    """A function as a module, which is what torch.export takes."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def forward(self, x: Tensor) -> Tensor:
        return self.program(x)


def _in_precision(network: nn.Module, precision: str) -> Program:
    """bf16 by autocast: weights stay in fp32, products run in bf16, as in training."""
    return network if precision == "fp32" else _Autocast(network)


class _Autocast(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return self.network(x)


def _cell(
    runtime: str,
    precision: str,
    batch: int,
    program: Program | str,
    samples: Tensor,
    expected: Tensor,
    answers: Program,
) -> Cell:
    def cell(ok: bool, reason: str, difference: float | None = None) -> Cell:
        return Cell(runtime, precision, batch, ok, reason, difference)

    if isinstance(program, str):
        return cell(False, program)
    try:
        got = _run(program, samples, batch, answers)
    except Exception as error:
        return cell(False, f"run failed: {_one_line(error)}")
    if got.shape != expected[: len(got)].shape or not bool(got.isfinite().all()):
        return cell(False, f"output is {tuple(got.shape)} or not finite")
    ok, reason, difference = agreement(precision, got, expected[: len(got)])
    return cell(ok, reason, difference)


def agreement(precision: str, got: Tensor, expected: Tensor) -> tuple[bool, str, float]:
    """Whether answers (N, K) agree within the precision's tolerance, why, and how far."""
    apart = (got - expected).abs().amax(1)  # (N,)
    same = got.argmax(1) == expected.argmax(1)
    difference = float(apart.max())
    if precision == "fp32":
        ok = difference <= FP32_TOLERANCE
    else:
        alike = same & (apart <= BF16_LOOSE_TOLERANCE)
        ok = difference <= BF16_TOLERANCE or int(alike.sum()) >= BF16_AGREEMENT * len(alike)
    share = float(same.float().mean())
    verdict = "agrees" if ok else "differs"
    return ok, f"{verdict}: by at most {difference:.1e}, {share:.0%} same class", difference


def _run(program: Program, samples: Tensor, batch: int, answers: Program) -> Tensor:
    """Answers (N, K) to the first samples, `batch` at a time."""
    parts = samples.split(batch)[:SINGLES]
    return torch.cat([answers(program(part)) for part in parts])


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)


def _scaled(network: nn.Module, batch: Tensor) -> Program:
    """Numbers (N, D) in units of the standard deviation of all that are expected."""
    spread = network(batch).float().std().clamp(min=1e-12)
    return lambda numbers: torch.flatten(numbers, 1).float() / spread


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"

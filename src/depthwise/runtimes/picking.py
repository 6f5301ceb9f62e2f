"""The fastest runtime for a network on this machine, by timing each.

Every runtime, precision and number of threads that can be had is prepared, its answers are compared
with those of eager fp32, and the ones that agree take turns in short bursts. A shared machine's
clock lies upwards, so each is judged by the median of its quietest burst; a run that takes longer
than its turn on a shared core (2 ms) has always waited for others, so that of one thread its
processor time is taken. One that is far behind leaves after the first round.

fp32 must agree to 1e-3 in class probabilities (or in numbers, in units of their spread). bf16 and
int8 round, so that numbers must agree to 0.1 of their spread, and 99% of all items must keep their
class, as far as n samples tell: d of them changed class are too many where

    P(D >= d) < 5%,  D ~ binomial(n, 1%)                    (1 of 5, 4 of 88, 10 of 512)

int8 is compared with fp32, and with torch's own int8, which is exact: a runtime whose products
saturate on this processor is out, though the rounded network be good.

Shapes: B batch, N samples, K classes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import free_cores
from depthwise.errors import one_line
from depthwise.reshaping.int8 import is_int8
from depthwise.runtimes import RUNTIMES
from depthwise.runtimes.onnx_graph import sharing_graphs
from depthwise.runtimes.program import Program, in_precision

__all__ = ["CANDIDATES", "Contender", "agrees", "apart", "race", "rank", "too_many"]

CANDIDATES = (
    ("eager", "fp32"),
    ("channels-last", "fp32"),
    ("channels-last", "bf16"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
    ("eager", "int8"),
)
BURSTS = 20
FAR_BEHIND = 3.0
TURN = 2e-3  # seconds that a process has a core for, at most, where others wait for it
SAME_NUMBER, NEAR_NUMBER = 1e-3, 0.1
OTHER_CLASS, CHANCE = 0.01, 0.05


@dataclass
class Contender:
    """One way to run the network: why it is out, or how long a batch takes."""

    name: str
    precision: str
    threads: int
    reason: str = ""
    program: Program | None = field(default=None, repr=False)
    seconds: float = float("inf")

    def told(self, batch: int) -> dict[str, Any]:
        about: dict[str, Any] = {"name": self.name, "precision": self.precision}
        about["threads"] = self.threads
        if self.reason:
            return {**about, "out": self.reason}
        return {**about, "batch": batch, "latency_ms": 1e3 * self.seconds}


def rank(
    network: nn.Module,
    samples: Tensor,
    *,
    batch: int = 1,
    seconds: float = 2.0,
    logits: bool = True,
    candidates: Iterable[tuple[str, str]] = CANDIDATES,
    threads: Sequence[int] | None = None,
) -> list[Contender]:
    """Contenders, the quickest first, those that are out last. samples (N, ...): real inputs,
    which int8 takes its ranges from; seconds: for all the timing together."""
    wanted = [c for c in candidates if not is_int8(network) or c[1] == "int8"]
    networks: dict[str, Any] = {}
    contenders = _prepared(network, samples, wanted, threads or sorted({1, free_cores()}), networks)
    rows, expected = samples.numpy(), _answers(network, samples)
    rounded = _answers(networks["int8"], samples) if "int8" in networks else expected
    for contender in contenders:
        _compare(contender, rows, expected, logits)
        if rounded is not expected and contender.precision == "int8":
            _compare(contender, rows, rounded, logits, "its 8-bit products are not exact here: ")
    able = [c for c in contenders if c.program is not None]
    items = np.ascontiguousarray(np.resize(rows, (batch, *rows.shape[1:])))
    runs = [_on(c.program, items) for c in able if c.program is not None]
    times = race(runs, seconds, [c.threads for c in able])
    for contender, took in zip(able, times, strict=True):
        contender.seconds = took
    return sorted(contenders, key=lambda contender: contender.seconds)


def _on(program: Program, items: np.ndarray) -> Callable[[], object]:
    return lambda: program(items)


def _prepared(
    network: nn.Module,
    samples: Tensor,
    wanted: list[tuple[str, str]],
    threads: Sequence[int],
    networks: dict[str, Any],
) -> list[Contender]:
    """networks: filled in, by precision, with those that are other than the given one."""
    """Of each way with each number of threads a contender; a precision is made once."""
    contenders = []
    with sharing_graphs():
        for name, precision in wanted:
            remedy = RUNTIMES[name].available()
            for n in threads:
                contender = Contender(name, precision, n, remedy or "")
                contenders.append(contender)
                if remedy is None:
                    _prepare(contender, network, samples, networks)
    return contenders


def _prepare(
    contender: Contender, network: nn.Module, samples: Tensor, networks: dict[str, Any]
) -> None:
    precision = contender.precision
    try:
        if precision == "int8" and precision not in networks and not is_int8(network):
            networks[precision] = in_precision(network, precision, samples)
        contender.program = RUNTIMES[contender.name].prepare(
            networks.get(precision, network),
            samples,
            precision=precision,
            threads=contender.threads,
        )
    except Exception as error:  # other people's compilers fail in any way
        contender.reason = one_line(error)


def _answers(network: nn.Module, samples: Tensor) -> np.ndarray:
    with torch.inference_mode():
        answers: np.ndarray = network.eval()(samples).float().numpy()
        return answers


def _compare(
    contender: Contender, rows: np.ndarray, expected: np.ndarray, logits: bool, what: str = ""
) -> None:
    """Exclude a contender, with the reason, if its answers differ from the reference."""
    if contender.program is None:
        return
    try:
        given = contender.program(rows)
        reason = agrees(contender.precision, given, expected, logits)
        contender.reason = what + reason if reason else ""
    except Exception as error:
        contender.reason = one_line(error)
    if contender.reason:
        contender.program = None


def agrees(precision: str, given: np.ndarray, expected: np.ndarray, logits: bool) -> str:
    """Why answers (N, K) disagree with the reference; "" if they agree."""
    if given.shape != expected.shape or not np.isfinite(given).all():
        return f"its answers are {given.shape} or not finite"
    exact = precision == "fp32"
    far, same = apart(given, expected, logits)
    if logits:
        items = given.size // given.shape[2 if given.ndim == 3 else 1]
        changed = round((1 - same) * items)
        fine = far <= SAME_NUMBER if exact else not too_many(changed, items)
        return "" if fine else f"differs: by {far:.1e}, {same:.1%} of {items:,} same class"
    return "" if far <= (SAME_NUMBER if exact else NEAR_NUMBER) else f"differs by {far:.1e}"


def too_many(changed: int, items: int) -> bool:
    """Whether so many of the items changed class that, were it 1% of all items, it would happen
    with a chance of less than 5%: P(D >= changed), D ~ binomial(items, 1%)."""
    from scipy.special import bdtrc

    return changed > 0 and bool(bdtrc(changed - 1, items, OTHER_CLASS) < CHANCE)


def apart(given: np.ndarray, expected: np.ndarray, logits: bool) -> tuple[float, float]:
    """How far answers (N, K), or of tokens (N, T, V), are at most, in class probabilities, or in
    the expected numbers' standard deviations; and the share of those whose largest is the same."""
    if logits and given.ndim == 3:
        given, expected = (answers.reshape(-1, answers.shape[2]) for answers in (given, expected))
    same = float((given.argmax(1) == expected.argmax(1)).mean())
    if logits:
        return float(np.abs(_softmax(given) - _softmax(expected)).max()), same
    spread = max(float(expected.std()), 1e-12)
    return float(np.abs(given - expected).max()) / spread, same


def race(
    runs: Sequence[Callable[[], object]], seconds: float, threads: Sequence[int] | None = None
) -> list[float]:
    """Seconds a run of each: the median of its quietest burst; they take turns. threads: what each
    runs with, None: one."""
    best = [float("inf")] * len(runs)
    running = list(range(len(runs)))
    for burst in range(BURSTS):
        for i in running:
            share = seconds / BURSTS / max(1, len(running))
            best[i] = min(best[i], _burst(runs[i], share, alone=not threads or threads[i] == 1))
        if burst in (0, 3):
            running = [i for i in running if best[i] <= FAR_BEHIND * min(best)]
    return best


def _burst(run: Callable[[], object], seconds: float, alone: bool) -> float:
    run()  # threads wake up and caches fill outside the timing
    clock: list[float] = []
    busy: list[float] = []
    end = time.perf_counter() + seconds
    while len(clock) < 3 or time.perf_counter() < end:
        start, before = time.perf_counter(), time.process_time()
        run()
        busy.append(time.process_time() - before)
        clock.append(time.perf_counter() - start)
    took = statistics.median(clock)
    return min(took, statistics.median(busy)) if alone and took > TURN else took


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares

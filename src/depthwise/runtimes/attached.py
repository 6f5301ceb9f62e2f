"""The inference runtime attached to a model: found by `best_runtime`, saved with its graph.

    choice = best_runtime(model, X[:256])       {"name": "onnxruntime", "precision": "int8", ...}
    model.runtime_                              the same; `predict` runs by it from now on
    model.save(folder)                          and after loading too: the graph is model.onnx

Where the library of a saved model's runtime is missing, torch runs it, with one warning. Learning
more, or another network, forgets the runtime.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from depthwise.errors import InputError
from depthwise.runtimes import PRECISIONS, READERS, RUNTIMES, Program

__all__ = ["WITHOUT_GRAPH", "Running", "best_runtime", "read_choice"]

WITHOUT_GRAPH = ("eager", "channels-last")
MOST_THREADS = 1024


class Predicting(Protocol):
    """What of a fitted model is used here."""

    running_: Running | None

    @property
    def network_(self) -> nn.Module: ...

    @property
    def n_outputs(self) -> int: ...

    @property
    def gives_logits(self) -> bool: ...


class Running:
    """A network's runtime: `choice` {"name", "precision", "threads"}, and its graph file if the
    runtime has one. A copy prepares its own program."""

    def __init__(
        self,
        network: nn.Module,
        choice: dict[str, Any],
        graph: bytes | None,
        program: Program | None = None,
    ):
        self.network, self.choice, self.graph = network, choice, graph
        self.given_up = False
        self._program = program

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_program": None}

    def answers(self, rows: np.ndarray, batch: int) -> np.ndarray | None:
        """(N, ...) -> (N, K), `batch` rows at a time; None where the runtime cannot be had."""
        program = self.program()
        if program is None:
            return None
        rows = rows.astype(np.float32) if rows.dtype == np.float64 else rows
        parts = [program(np.ascontiguousarray(rows[i : i + batch])) for i in _starts(rows, batch)]
        return np.concatenate(parts)

    def program(self) -> Program | None:
        """Made when first asked for; None, after one warning, where it cannot be."""
        if self._program is None and not self.given_up:
            try:
                self._program = self._make()
            except Exception as error:  # a missing library, a file it does not read
                self.given_up = True
                warnings.warn(
                    f"this model was saved to run by {self.choice['name']}, which cannot be had "
                    f"here ({' '.join(str(error).split())[:200]}); torch runs it instead.",
                    stacklevel=2,
                )
        return self._program

    def _make(self) -> Program:
        name, precision, threads = (self.choice[key] for key in ("name", "precision", "threads"))
        if self.graph is not None:
            return READERS[name](self.graph, precision, threads)
        nothing = torch.empty(0)  # a precision that needs examples has a graph
        return RUNTIMES[name].prepare(self.network, nothing, precision=precision, threads=threads)


def best_runtime(
    model: Predicting, samples: Any, batch: int = 1, *, seconds: float = 2.0, **options: Any
) -> dict[str, Any]:
    """Find the fastest runtime for a fitted model on this machine and attach it (`runtime_`).

    samples: (N, ...) real inputs, 64 to 1,000; batch: items at a time that it shall be quick for;
    seconds: for the timing, 1 to 20. `options`: candidates, pairs of runtime and precision;
    threads, numbers to try. The answer's "tried" tells every way, its time or why it is out.
    Raises InputError for a model that does not predict.
    """
    from depthwise.runtimes.picking import rank

    if not model.n_outputs:
        raise InputError("best_runtime is for models that predict classes or numbers.")
    rows = np.asarray(samples)
    if len(rows) == 0 or batch < 1:
        raise InputError(f"samples and batch must be at least 1; got {len(rows)} and {batch}.")
    rows = rows.astype(np.float32) if rows.dtype != np.uint8 else rows
    logits, network = model.gives_logits, model.network_
    ranked = rank(
        network, torch.from_numpy(rows), batch=batch, seconds=seconds, logits=logits, **options
    )
    best = ranked[0]
    if best.program is None:
        raise InputError(f"no runtime can run this model: {best.name}: {best.reason}.")
    choice = {"name": best.name, "precision": best.precision, "threads": best.threads}
    model.running_ = Running(network, choice, best.program.graph, best.program)
    tried = [contender.told(batch) for contender in ranked]
    return {**choice, "batch": batch, "latency_ms": 1e3 * best.seconds, "tried": tried}


def read_choice(about: Any) -> dict[str, Any]:
    """A saved choice, checked; raises ValueError."""
    name, precision, threads = (about[key] for key in ("name", "precision", "threads"))
    if name not in (*READERS, *WITHOUT_GRAPH) or precision not in PRECISIONS:
        raise ValueError(f"a runtime {name!r} in {precision!r}")
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"a runtime with {threads!r} threads")
    return {"name": name, "precision": precision, "threads": threads}


def _starts(rows: np.ndarray, batch: int) -> range:
    return range(0, len(rows), batch)

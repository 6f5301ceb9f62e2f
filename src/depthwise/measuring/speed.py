"""Latency, throughput and peak memory of a network, timed where it runs.

A shared machine's clock lies upwards: other work can only make a run slower. So runs come in
short bursts spread over the time allowed, the settings under comparison take turns (interleaved),
and a setting is judged by the median of its quietest burst; the bursts' spread is the interval.

Threads are a setting like any other: one, or all cores, whichever is faster here and now. On a
busy machine several threads wait for the slowest at every operator, a hundred times slower than
one thread; so a short probe first asks whether threads help at all, and a setting that begins
far behind one thread is dropped at once. The caller's number of threads is restored.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from depthwise.compute import free_cores
from depthwise.measuring.counting import weight_bytes
from depthwise.measuring.metric import Metric

BURSTS = 24  # short ones: where other work has the cores half the time, some stay undisturbed
LEAST_BURSTS, OVERTIME = 3, 4  # of a slow network, and by how many times it may take too long
FAR_BEHIND, BEHIND = 3.0, 1.25  # of the quickest setting's time: leave at once, or after two bursts
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
MEMORY_SHARE = 0.25  # of the free memory that a batch may take


class ByRuntime(nn.Module):
    """A network as another runtime's program runs it, to be timed like any other."""

    def __init__(self, network: nn.Module, program: Callable[[np.ndarray], np.ndarray]):
        super().__init__()
        self.network, self.program = network, program

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.program(x.numpy()))


def latency(
    network: nn.Module, sample: Tensor, *, seconds: float = 0.4, threads: int | None = None
) -> Metric:
    """Time to answer one item, ms. sample: (1, ...), as the network takes it; seconds: time to
    spend, 0.2 to 5; threads: None chooses.

    value and low: median of the quietest burst; high: nine bursts in ten had at most this median;
    details: p50 (the value), p95 and p99 over all runs, runs, threads, p50_all over all runs.
    """
    choices = [threads] if threads else thread_choices(sample)
    with inference(network, sample) as run:
        best = _race([_Setting(run, threads=n) for n in choices], seconds, BURSTS)
    times_ms = sorted(1e3 * t for t in best.times)
    p50 = 1e3 * best.best
    return Metric(
        p50,
        "ms",
        "measured",
        low=p50,
        high=1e3 * _percentile(sorted(best.medians), 90),
        source=f"{len(times_ms)} runs in {len(best.medians)} bursts, {best.threads} threads",
        details={
            "p50": p50,
            "p95": max(p50, _percentile(times_ms, 95)),
            "p99": max(p50, _percentile(times_ms, 99)),
            "p50_all": _percentile(times_ms, 50),
            "batch": 1,
            "threads": best.threads,
            "runs": len(times_ms),
        },
    )


def throughput(
    network: nn.Module,
    sample: Tensor,
    *,
    seconds: float = 0.6,
    batches: Sequence[int] = BATCHES,
    memory_bytes: int | None = None,
    threads: int | None = None,
    alone: Metric | None = None,
    live_bytes: int | None = None,
) -> Metric:
    """Items a second at the best batch that fits. sample: (1, ...); seconds: time to spend;
    memory_bytes: what a batch may take, None: a quarter of what is free; threads: None chooses;
    alone, live_bytes: what `latency` and `peak_memory` said of one item, if they were asked.

    details: batch and threads (the best), rates {batch: items/s} of all that were tried.
    """
    allowed = memory_bytes or int(MEMORY_SHARE * _free_bytes(sample))
    if live_bytes is None:
        torchs_own = network.network if isinstance(network, ByRuntime) else network
        live_bytes = int(peak_memory(torchs_own, sample).details["live_bytes"])
    per_item = max(1, live_bytes)
    trials: dict[int, _Rate] = {}
    if alone is not None and batches[0] == 1 and alone.value > 1e3 * seconds / len(batches):
        trials[1] = _Rate.of_latency(alone)  # a slow network is not timed twice
        batches = batches[1:]
    choices = [threads] if threads else thread_choices(sample)
    deadline = time.perf_counter() + seconds
    for batch in batches:
        if trials and batch * per_item > allowed:
            break
        if trials and _is_over(trials, batch, deadline):
            break
        trials[batch] = _rate(network, sample, batch, seconds / len(batches), choices)
        if trials[batch].far_behind:
            choices = [1]
            deadline += seconds  # what was lost to waiting threads
    best = max(trials, key=lambda batch: trials[batch].best)
    rate = trials[best]
    return Metric(
        rate.best,
        "items/s",
        "measured",
        low=rate.worst,
        high=rate.best,
        source=f"batch {best} of {', '.join(map(str, trials))}; {rate.threads} threads",
        details={
            "batch": best,
            "threads": rate.threads,
            "rates": {str(batch): trial.best for batch, trial in trials.items()},
        },
    )


def peak_memory(network: nn.Module, sample: Tensor) -> Metric:
    """Bytes at the peak of `network(sample)`: weights, sample, and what the allocator gave out,
    kernels' scratch space included, with one thread. details: weight_bytes, live_bytes."""
    with inference(network, sample) as run, using_threads(1):
        run()
        peak = _cuda_peak(run) if sample.is_cuda else _cpu_peak(run)
    weights = weight_bytes(network)
    live = sample.nbytes + peak
    return Metric(
        float(weights + live),
        "bytes",
        "measured",
        low=float(weights + live),
        high=float(weights + live),
        source="the allocator's own record of one run",
        details={"weight_bytes": weights, "live_bytes": live},
    )


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """torch's threads set to n inside, as before outside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def inference(network: nn.Module, sample: Tensor) -> Iterator[Callable[[], None]]:
    """A function that runs the network on the sample and waits for the end."""
    was_training = network.training
    network.eval()

    def run() -> None:
        network(sample)
        if sample.is_cuda:
            torch.cuda.synchronize()

    try:
        with torch.inference_mode():
            yield run
    finally:
        network.train(was_training)


def thread_choices(sample: Tensor) -> list[int]:
    """One thread, and as many as there are cores free now if they help each other."""
    threads = 1 if sample.is_cuda else free_cores()
    return [1] if threads == 1 or cores_are_busy(threads) else [1, threads]


def cores_are_busy(threads: int, runs: int = 12) -> bool:
    """Whether `threads` threads together take longer than one for a task made to be shared, as
    they do when another process holds a core. Takes milliseconds, or some 0.1 s when they are."""
    x = torch.ones(1 << 18)
    medians = []
    for n in (1, threads):
        with using_threads(n):
            times = timed(x.relu_, 0.0, least=runs)
        medians.append(statistics.median(times[2:]))
    return medians[1] > 1.5 * medians[0]


@dataclass
class _Setting:
    """One way to run, with the times of its bursts (seconds a run)."""

    run: Callable[[], None]
    threads: int
    medians: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.medians)

    def trial(self, hopeless_seconds: float) -> None:
        """The better of two runs, the first of which wakes the threads; a hopeless first one is
        enough."""
        with using_threads(self.threads):
            times = timed(self.run, 0.0, least=1)
            if times[0] < hopeless_seconds:
                times += timed(self.run, 0.0, least=1)
        self.medians.append(min(times))

    def burst(self, seconds: float) -> None:
        """A run that takes longer than `seconds` is a burst by itself."""
        with using_threads(self.threads):
            if not self.medians or self.best < seconds:
                first = timed(self.run, 0.0, least=1)[0]  # threads wake up and caches fill
            is_slow = (self.best if self.medians else first) >= seconds
            times = timed(self.run, seconds, least=1 if is_slow else 3)
        self.medians.append(statistics.median(times))
        self.times += times


def timed(run: Callable[[], object], seconds: float, least: int = 3) -> list[float]:
    """Times of single runs, seconds, for about `seconds` but at least `least` runs."""
    times: list[float] = []
    now = time.perf_counter()
    end = now + seconds
    while now < end or len(times) < least:
        start = now
        run()
        now = time.perf_counter()
        times.append(now - start)
    return times


def _race(settings: list[_Setting], seconds: float, bursts: int) -> _Setting:
    """The setting with the quickest burst. The first is run alone to know the scale, then they
    take turns; one that is far behind leaves. A slow network has fewer bursts."""
    running, latest = settings[:1], time.perf_counter() + OVERTIME * seconds
    running[0].burst(0.5 * seconds / bursts)
    for challenger in settings[1:]:
        challenger.trial(max(0.03, 20 * running[0].best))
        if challenger.best < FAR_BEHIND * running[0].best:
            running.append(challenger)
    for done in range(1, bursts):
        if done >= LEAST_BURSTS and time.perf_counter() > latest:
            break
        for setting in running:
            setting.burst(seconds / bursts / len(running))
        if done == bursts // 3:
            quickest = min(setting.best for setting in running)
            running = [s for s in running if s.best <= BEHIND * quickest]
    return min(running, key=lambda setting: setting.best)


@dataclass
class _Rate:
    """Items a second over the bursts of one batch size."""

    best: float
    worst: float
    threads: int
    run_seconds: float
    far_behind: bool  # whether more threads were far slower than one

    @classmethod
    def of_latency(cls, latency: Metric) -> Self:
        """Of one item at a time, from what `latency` found (ms)."""
        threads, high = int(latency.details["threads"]), latency.high or latency.value
        return cls(1e3 / latency.value, 1e3 / high, threads, latency.value / 1e3, False)


def _rate(
    network: nn.Module, sample: Tensor, batch: int, seconds: float, choices: Sequence[int]
) -> _Rate:
    items = sample.repeat(batch, *[1] * (sample.dim() - 1))
    with inference(network, items) as run:
        settings = [_Setting(run, threads=n) for n in choices]
        winner = _race(settings, seconds, bursts=6)
    slowest = _percentile(sorted(winner.medians), 90)
    behind = any(s.best > FAR_BEHIND * winner.best for s in settings)
    return _Rate(batch / winner.best, batch / slowest, winner.threads, winner.best, behind)


def _is_over(trials: dict[int, _Rate], batch: int, deadline: float) -> bool:
    """No time for a larger batch, or the rate has fallen twice, or far."""
    last = list(trials)[-1]
    expected = trials[last].run_seconds * batch / last * 4
    if time.perf_counter() + expected > deadline:
        return True
    shares = [rate.best / max(r.best for r in trials.values()) for rate in trials.values()]
    return shares[-1] < 0.5 or (len(shares) > 2 and max(shares[-2:]) < 0.95)


def _free_bytes(sample: Tensor) -> int:
    if sample.is_cuda:
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def _cuda_peak(run: Callable[[], None]) -> int:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return int(torch.cuda.max_memory_allocated() - before)


def _cpu_peak(run: Callable[[], None]) -> int:
    """Largest sum of the allocator's events; the older profiler keeps their order, silently."""
    from torch._C._profiler import _ExperimentalConfig
    from torch.autograd import (
        ProfilerConfig,
        ProfilerState,
        _disable_profiler_legacy,
        _enable_profiler_legacy,
    )

    config = ProfilerConfig(
        ProfilerState.CPU, False, True, False, False, False, _ExperimentalConfig()
    )
    _enable_profiler_legacy(config)
    try:
        run()
    finally:
        record = _disable_profiler_legacy()
    live = peak = 0
    for event in (event for thread in record for event in thread):
        live += event.cpu_memory_usage() if event.kind() == "memory_alloc" else 0
        peak = max(peak, live)
    return peak


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value with `percent` of the runs at or below it."""
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]

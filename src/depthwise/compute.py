"""Where and how the arithmetic is done: device, precision, memory layout, threads.

A `Compute` is passed along, never global: the thread count it asks for holds inside `active()` and
is put back after. `fastest` picks among several by running each: no guess about what a processor
gains from bfloat16, channels-last or a second thread survives a neighbour on the other core.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import itertools
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import psutil
import torch
from torch import nn

from depthwise.errors import InputError
from depthwise.host import available_cores, cache_folder
from depthwise.scratch import scratch_beside, sweep_once

__all__ = [
    "Compute",
    "cached_choice",
    "exact_products",
    "fastest",
    "free_cores",
    "has_bfloat16",
    "has_room",
    "is_gpu",
    "is_here",
    "keep_freed_memory",
    "own_randomness",
    "resolve_device",
    "seed_draws",
    "synchronise",
    "with_threads",
]

FAR_BEHIND = 8.0  # times the quickest candidate's first run
ROOM = 0.4  # of a GPU's free memory, for data that stay there
T = TypeVar("T")
Place = str | torch.device


@dataclass(frozen=True)
class Compute:
    """How a network is run.

    | field           | values                  | meaning                                          |
    | --------------- | ----------------------- | ------------------------------------------------ |
    | `device`        | "cpu", "cuda", "cuda:1" | where tensors live                               |
    | `precision`     | "float32", "bfloat16"   | bfloat16 runs products in autocast, weights stay |
    | `channels_last` | bool                    | NHWC memory order for images                     |
    | `threads`       | 1 .. cores              | processor threads inside `active()`              |
    | `graph`         | bool                    | a GPU records a step and replays it
                                                (training/graphs.py)  |
    """

    device: str = "cpu"
    precision: str = "float32"
    channels_last: bool = False
    threads: int = 1
    graph: bool = False

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with _gpu_at_work(self.device):
                yield
        finally:
            torch.set_num_threads(before)

    def autocast(self) -> torch.autocast:
        on = self.precision == "bfloat16"
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=on)

    def place(self, network: nn.Module) -> nn.Module:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return network.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]

    def place_batch(self, batch: torch.Tensor) -> torch.Tensor:
        batch = batch.to(self.device)
        if self.channels_last and batch.dim() == 4:
            return batch.contiguous(memory_format=torch.channels_last)
        return batch

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def resolve_device(device: str) -> str:
    """ "auto" becomes "cuda" where there is one, else "cpu"; anything else is checked."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        here = is_here(device)
    except RuntimeError:
        raise InputError(f'device={device!r} is not one of "auto", "cpu", "cuda".') from None
    if not here:
        raise InputError(f'device={device!r}, but this machine has no usable GPU; use "cpu".')
    return device


def is_gpu(device: Place) -> bool:
    return torch.device(device).type == "cuda"


def is_here(device: str) -> bool:
    """Whether this machine has the device; a checkpoint may come from a machine with another."""
    if not is_gpu(device):
        return True
    number = torch.device(device).index or 0
    return torch.cuda.is_available() and number < torch.cuda.device_count()


def synchronise(device: Place) -> None:
    """Wait until a GPU has finished its queue: a clock read earlier measures only how long it took
    to submit the work."""
    if is_gpu(device):
        torch.cuda.synchronize(device)


def has_room(device: Place, size_bytes: int) -> bool:
    """Whether data of this size fit on the device beside the network and its batches."""
    return not is_gpu(device) or size_bytes <= ROOM * torch.cuda.mem_get_info(device)[0]


@contextlib.contextmanager
def _gpu_at_work(device: Place) -> Iterator[None]:
    """Inside, `device` is torch's current GPU, and cuDNN benchmarks its convolution algorithms on
    the first batch of each shape."""
    if not is_gpu(device):
        yield
        return
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        with torch.cuda.device(device):
            yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextlib.contextmanager
def exact_products(device: Place | None) -> Iterator[None]:
    """Inside, a GPU's convolutions and matrix products use float32 instead of TF32 (10 bits), so
    that predictions equal the processor's up to the order of sums. For inference only."""
    if device is None or not is_gpu(device):
        yield
        return
    cudnn: Any = torch.backends.cudnn  # whose parts torch's own types do not name
    parts: tuple[Any, ...] = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "ieee"
        yield
    finally:
        for part, value in zip(parts, before):
            part.fp32_precision = value


def seed_draws(seed: int, device: Place = "cpu") -> None:
    """Seed torch's generators of the processor and of `device`; other GPUs' are left alone."""
    torch.default_generator.manual_seed(int(seed))
    if is_gpu(device):
        with torch.cuda.device(device):
            torch.cuda.manual_seed(int(seed))


@contextlib.contextmanager
def own_randomness(seed: int | None = None, device: Place = "cpu") -> Iterator[None]:
    """Inside, the generators of the processor and of `device` are seeded; their state is restored
    afterwards. Other GPUs are left alone: to ask for their state would wake them."""
    with torch.random.fork_rng(devices=[torch.device(device)] if is_gpu(device) else []):
        if seed is not None:
            seed_draws(seed, device)
        yield


@functools.cache
def has_bfloat16(device: str = "cpu") -> bool:
    """Whether `device` multiplies bfloat16 numbers in hardware. Without it they are converted at
    every product, which takes several times as long as float32."""
    if is_gpu(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    kernels = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if platform.machine() not in ("x86_64", "AMD64"):
        return kernels
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return kernels and bool(native)  # oneDNN says yes where it can only emulate them


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library keep large freed blocks for reuse, from now on, in this process.

    glibc returns every block over a threshold to the kernel when it is freed, and the kernel hands
    out zeroed pages again at the next batch: a fifth of the time of training a small CNN goes into
    page faults (docs/LOG.md). Where the C library is another one, nothing is done.
    """
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def free_cores() -> int:
    """Cores that nobody else is using now, at least 1 (sampled over a tenth of a second)."""
    idle_shares = [1 - busy / 100 for busy in psutil.cpu_percent(interval=0.1, percpu=True)]
    return max(1, min(available_cores(), round(sum(idle_shares))))


def fastest(
    run: Callable[[Compute], object],
    candidates: list[Compute],
    *,
    rounds: int = 3,
    advantage: float = 1.1,
    seconds: float = math.inf,
) -> Compute:
    """The candidate whose `run` takes the least wall time; the first one unless clearly beaten.

    Candidates take turns (A B C, A B C, ...), so that a drift of the machine's speed meets all of
    them, and the minimum over the rounds is compared: noise only ever adds time. The first round
    warms up caches and kernels and does not count; what is FAR_BEHIND in it is not run again.
    `advantage` is how many times faster than the incumbent a later candidate must be to replace
    it. After one round that counts no run begins once `seconds` have passed.
    """
    deadline = time.perf_counter() + seconds
    warm_up = [_seconds(run, compute) for compute in candidates]
    running = [i for i, took in enumerate(warm_up) if took <= FAR_BEHIND * min(warm_up)]
    best_seconds = [math.inf] * len(candidates)
    for i in running:
        best_seconds[i] = _seconds(run, candidates[i])
    for _ in range(rounds - 1):
        for i in _until(deadline, running):
            best_seconds[i] = min(best_seconds[i], _seconds(run, candidates[i]))
    winner = 0
    for i in range(1, len(candidates)):
        if best_seconds[i] * advantage < best_seconds[winner]:
            winner = i
    return candidates[winner]


def _seconds(run: Callable[[Compute], object], compute: Compute) -> float:
    with compute.active():
        synchronise(compute.device)
        start = time.perf_counter()
        run(compute)
        synchronise(compute.device)
        return time.perf_counter() - start


def _until(deadline: float, items: list[T]) -> Iterator[T]:
    """Yield items until the deadline has passed."""
    return itertools.takewhile(lambda _: time.perf_counter() < deadline, items)


def cached_choice(
    key: str, measure: Callable[[], Compute | None], otherwise: Compute | None = None
) -> Compute:
    """`measure()` once per machine and key, then from the cache, so that a command repeated takes
    the same decision and gives the same bits. `otherwise`: what is taken, this time, where there
    was no time to measure and it gives None."""
    name = hashlib.sha256(f"{_machine()}|{key}".encode()).hexdigest()[:24]
    path = cache_folder() / "compute" / f"{name}.json"
    try:
        return Compute(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        choice = measure()
    if choice is None:
        assert otherwise is not None
        return otherwise
    with contextlib.suppress(OSError):  # no cache only means measuring again
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(path.parent)
        scratch = scratch_beside(path)
        scratch.write_text(json.dumps(choice.to_dict()))
        scratch.replace(path)
    return choice


def with_threads(
    key: str, compute: Compute, race: Callable[[list[Compute]], Compute | None]
) -> Compute:
    """`compute` with as many threads as are worth it: what won once on an idle machine, but never
    more than the cores that are free right now or than torch was given (OMP_NUM_THREADS). Threads
    that wait for a core that a neighbour holds make a step many times slower."""
    free = min(free_cores(), torch.get_num_threads())
    if free == 1:
        return replace(compute, threads=1)
    ways = [replace(compute, threads=1), replace(compute, threads=free)]
    return cached_choice(f"{key}|threads {free}", lambda: race(ways), otherwise=ways[0])


def _machine() -> str:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    features = torch.backends.cpu.get_cpu_capability()
    cores = available_cores()
    return f"{platform.machine()}|{features}|{cores}|{gpu}|{torch.__version__}"

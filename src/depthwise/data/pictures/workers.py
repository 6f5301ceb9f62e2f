"""Tiny pictures by the ten thousand, decoded in processes of their own.

A 32 x 32 JPEG takes 70 us, of which the interpreter, which only one thread may hold, takes most;
two threads are slower than one. So each core gets a process that speaks over its pipes:

    to it      a header of 7 uint32 (count, C, H, W, and what the sample promised: h, w, grey),
               `count` lengths uint32, the files' bytes
    from it    one line of JSON: position -> why a picture is broken, or null if one is not as
               promised; then the pixels uint8 (count, C, H, W)

The process is Python running this file; where none can be started the caller decodes by itself.
"""

import contextlib
import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np

from depthwise.data.pictures.images import (
    Levels,
    Unreadable,
    is_deep,
    is_grey,
    open_picture,
    to_pixels,
    upright_size,
)

__all__ = ["Disagrees", "Expected", "NoWorkers", "decode_apart", "decode_one"]

Shape = tuple[int, int, int]
Expected = tuple[tuple[int, int], bool, bool]  # (H, W) in the file; whether grey; whether deep
_HEADER = struct.Struct("<7I")
_CHUNK = 512


class Disagrees(Exception):
    """A picture is not as the sample promised."""


class NoWorkers(Exception):
    """Processes cannot be started, or one of them died."""


def decode_one(
    data: bytes, shape: Shape, expected: Expected | None, levels: Levels | None = None
) -> np.ndarray:
    """uint8 (C, H, W); levels: of deep pictures, as in `to_pixels`. Raises Unreadable, and
    Disagrees unless size, colour and depth are as expected."""
    image = open_picture(data)
    if expected and (upright_size(image), is_grey(image), is_deep(image)) != expected:
        raise Disagrees
    return to_pixels(image, shape, levels)


def decode_apart(
    read: Callable[[int], bytes], out: np.ndarray, expected: Expected, workers: int
) -> dict[int, str]:
    """Decodes pictures 0..N-1 into out uint8 (N, C, H, W); returns position -> why broken.

    Raises Disagrees, and NoWorkers when it should be done here instead.
    """
    starts, lock, stop = iter(range(0, len(out), _CHUNK)), threading.Lock(), threading.Event()

    def feed(process: "subprocess.Popen[bytes]") -> dict[int, str]:
        broken: dict[int, str] = {}
        while not stop.is_set():
            with lock:
                start = next(starts, None)
            if start is None:
                break
            try:
                part = out[start : start + _CHUNK]
                broken.update(_exchange(process, start, read, part, expected))
            except BaseException:
                stop.set()
                raise
        return broken

    with _processes(workers) as processes, ThreadPoolExecutor(workers) as pool:
        try:
            results = list(pool.map(feed, processes))
        except BaseException:
            stop.set()
            for process in processes:
                process.kill()
            raise
    return {i: why for found in results for i, why in sorted(found.items())}


def _exchange(
    process: "subprocess.Popen[bytes]",
    start: int,
    read: Callable[[int], bytes],
    out: np.ndarray,
    expected: Expected,
) -> dict[int, str]:
    """Sends one chunk and takes its pixels; `out` is where they belong."""
    broken, files = {}, []
    for i in range(start, start + len(out)):
        try:
            files.append(read(i))
        except Unreadable as error:
            broken[i] = str(error)
            files.append(b"")
    assert process.stdin and process.stdout
    (height, width), grey, _ = expected
    try:
        process.stdin.write(_HEADER.pack(*out.shape, height, width, grey))
        process.stdin.write(np.array([len(f) for f in files], "<u4").tobytes() + b"".join(files))
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        if answer is None:
            raise Disagrees
        pixels = process.stdout.read(out.nbytes)
        out[...] = np.frombuffer(pixels, np.uint8).reshape(out.shape)
    except (OSError, ValueError) as error:
        raise NoWorkers from error
    return {**{start + int(k): why for k, why in answer.items()}, **broken}


@contextlib.contextmanager
def _processes(n: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """n processes running `serve`, gone at the end whatever happens."""
    command = [sys.executable, "-P", "-m", "depthwise.data.pictures.workers"]
    pipe = subprocess.PIPE
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(n):
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            running.append(process)
        yield running
    except OSError as error:
        raise NoWorkers from error
    finally:
        for process in running:
            with contextlib.suppress(OSError):
                process.communicate() if process.poll() is None else process.__exit__(
                    None, None, None
                )


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """What each process does until its input ends."""
    while len(header := requests.read(_HEADER.size)) == _HEADER.size:
        count, channels, height, width, *promised, grey = _HEADER.unpack(header)
        lengths = np.frombuffer(requests.read(4 * count), "<u4").tolist()
        expected = ((promised[0], promised[1]), bool(grey), False)
        pixels = np.zeros((count, channels, height, width), np.uint8)
        broken: dict[int, str] | None = {}
        for k, length in enumerate(lengths):
            data = requests.read(length)
            try:
                if broken is not None:
                    pixels[k] = decode_one(data, (channels, height, width), expected)
            except Unreadable as error:
                assert broken is not None
                broken[k] = str(error)
            except Disagrees:
                broken = None
        answers.write(json.dumps(broken).encode() + b"\n")
        if broken is not None:
            answers.write(pixels.data)
        answers.flush()


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    serve(sys.stdin.buffer, sys.stdout.buffer)

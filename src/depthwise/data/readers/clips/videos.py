"""Clips as video files, a folder for each class, decoded by PyAV (`pip install
"depthwise[video]"`).

Only containers that are known by their first bytes are opened, each by its own demuxer: a playlist
that sends the decoder elsewhere is no video. Frames are counted by the file's packets; what its
header says is not believed. If fewer come out than that, those that did are spread evenly. A file
without a frame, of another kind than its name says, or broken from the start is left out and told;
a header that promises another number of frames than the file holds is told.
"""

import io
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.pictures.images import MAX_PIXELS, Unreadable, looks_like_picture
from depthwise.data.raw import Raw
from depthwise.data.readers.clips.clips import assemble, evenly
from depthwise.data.readers.pictures import picture_names, placed
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError, MissingExtraError

__all__ = ["VIDEO_SUFFIXES", "clip_of", "demuxer", "has_videos", "read", "video_names"]

_SUFFIXES = "mp4 m4v mov avi mkv webm mpg mpeg wmv flv ogv 3gp ts"
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
MAX_VIDEO_BYTES, MAX_FRAMES = 4 << 30, 100_000
_TICKS = 1_000_000  # in which containers count a second
_LIE = 0.25  # share of frames by which a header may be wrong unnoticed
Shape = tuple[int, int, int]


def has_videos(tree: Tree) -> bool:
    """Whether there are more video files than pictures."""
    names = video_names(tree)
    return bool(names) and len(names) > len(picture_names(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises MissingExtraError without PyAV, DataError if most videos are broken."""
    clips, problems = placed(video_names(tree), "video")
    lies: dict[int, str] = {}
    turned: list[str] = []
    _decoder()

    def opened(i: int) -> "_Video":
        return _Video(_bytes(tree, clips[i].name))

    def look(i: int) -> tuple[tuple[int, int], bool]:
        return opened(i).size, False

    def take(i: int, t: int, shape: Shape) -> np.ndarray:
        video = opened(i)
        frames = video.take(t, shape)
        if video.lie:
            lies[i] = video.lie
        if video.turn:
            turned.append(clips[i].name)
        return frames

    raw = assemble(tree, clips, look, take, allocate, options, problems)
    raw.problems += [Problem("lying length", clips[i].name, lies[i]) for i in sorted(lies)]
    raw.problems += left_out("turned video", sorted(turned), "turned upright, as its file says")
    return raw


def clip_of(data: bytes, t: int, shape: Shape) -> np.ndarray:
    """A video file's bytes to uint8 (T, C, H, W), exactly as a Dataset has it. Raises Unreadable
    for what is no video or has no frames, MissingExtraError without PyAV."""
    _decoder()
    return _Video(data).take(t, shape)


def demuxer(head: bytes) -> str | None:
    """The container that begins with these bytes, by the name that the decoder knows it by."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    starts = {
        b"\x1a\x45\xdf\xa3": "matroska",
        b"OggS": "ogg",
        b"FLV": "flv",
        b"\x30\x26\xb2\x75": "asf",
        b"\x00\x00\x01\xba": "mpeg",
        b"\x00\x00\x01\xb3": "mpegvideo",
    }
    if len(head) > 188 and head[0] == head[188] == 0x47:
        return "mpegts"
    return next((name for start, name in starts.items() if head.startswith(start)), None)


class _Video:
    """A video file's bytes; `size` (H, W) upright, `turn` quarter turns to the left that make it
    so, and in `lie` what is false about its length, once frames were taken."""

    def __init__(self, data: bytes):
        self._data, self.lie = data, ""
        self._format = demuxer(data[:512])
        if self._format is None:
            raise Unreadable(_why_none(data))
        with self._open() as container:
            stream = _stream(container)
            self.size = stream.codec_context.height, stream.codec_context.width
            self.turn = _turn(next(_until_broken(container.decode(stream)), None))
            self.size = self.size[::-1] if self.turn % 2 else self.size
            self._promised = _promised(container, stream)
        if not 0 < self.size[0] * self.size[1] <= MAX_PIXELS:
            raise Unreadable(f"frames of {self.size[0]} x {self.size[1]} pixels")

    def take(self, t: int, shape: Shape) -> np.ndarray:
        """uint8 (T, C, H, W), evenly spaced; raises Unreadable if there are no frames."""
        packets = self._count_packets()
        if not packets:
            raise Unreadable("no frames")
        found, true = self._decode(evenly(packets, t), shape)
        if true != packets:  # some packets hold no frame, or the end is broken
            if not true:
                raise Unreadable("no frames")
            found, _ = self._decode(evenly(true, t), shape)
        if self._promised and abs(self._promised - true) > _LIE * max(true, self._promised):
            self.lie = f"its header promises {self._promised:,} frames, it holds {true:,}"
        return np.stack([found[k] for k in evenly(true, t).tolist()])

    def _open(self) -> Any:
        return _guarded(lambda: _decoder().open(io.BytesIO(self._data), format=self._format))

    def _count_packets(self) -> int:
        with self._open() as container:
            stream, count = _stream(container), 0
            for packet in _until_broken(container.demux(stream)):
                count += packet.size > 0
                if count > MAX_FRAMES:
                    raise Unreadable(f"more than {MAX_FRAMES:,} frames")
            return count

    def _decode(self, wanted: np.ndarray, shape: Shape) -> tuple[dict[int, np.ndarray], int]:
        """The wanted frames, and how many frames there are."""
        chosen, found, k = set(wanted.tolist()), {}, 0
        with self._open() as container:
            for frame in _until_broken(container.decode(_stream(container))):
                if k in chosen:
                    found[k] = _pixels(frame, shape)
                k += 1
                if k > MAX_FRAMES:
                    raise Unreadable(f"more than {MAX_FRAMES:,} frames")
        return found, k


def _promised(container: Any, stream: Any) -> int:
    """How many frames the header says there are, itself or by its length and rate; 0 if it does
    not."""
    length, rate = container.duration or 0, stream.average_rate or 0
    return int(stream.frames) or round(length / _TICKS * rate)


def _stream(container: Any) -> Any:
    if not container.streams.video:
        raise Unreadable("no pictures in it, sound only")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise Unreadable("its frames are coded in a way that is not known here")
    return stream


def _pixels(frame: Any, shape: Shape) -> np.ndarray:
    channels, *size = shape
    turn = _turn(frame)
    height, width = size[::-1] if turn % 2 else size
    if frame.width * frame.height > MAX_PIXELS:
        raise Unreadable(f"a frame of {frame.height} x {frame.width} pixels")
    small = frame.reformat(width=width, height=height, format="gray" if channels == 1 else "rgb24")
    pixels = np.rot90(small.to_ndarray(), turn)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _turn(frame: Any) -> int:
    """Quarter turns to the left, 0 to 3, that make a frame upright; 0 of none."""
    return 0 if frame is None else round(frame.rotation / 90) % 4


def _until_broken(items: Iterator[Any]) -> Iterator[Any]:
    """What comes before the first error of the decoder."""
    errors = _decoder().error.FFmpegError
    try:
        yield from items
    except (errors, ValueError, MemoryError):
        return


def _guarded(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except (_decoder().error.FFmpegError, ValueError, MemoryError) as error:
        reason = str(error).split(":")[0].split("\n")[0]
        raise Unreadable(f"broken video ({reason or type(error).__name__})") from None


def _why_none(data: bytes) -> str:
    if not data:
        return "empty file"
    if looks_like_picture(data[:512]):
        return "a picture, not a video"
    return f"not a video (it begins with {data[:8].hex(' ')})"


def _bytes(tree: Tree, name: str) -> bytes:
    if tree.sizes[name] > MAX_VIDEO_BYTES:
        raise Unreadable(f"larger than {MAX_VIDEO_BYTES >> 30} GiB")
    try:
        return tree.read(name)
    except DataError as error:
        raise Unreadable(str(error)) from None


def video_names(tree: Tree) -> list[str]:
    return [n for n in tree.sizes if f".{n.rpartition('.')[2].lower()}" in VIDEO_SUFFIXES]


def _decoder() -> Any:
    try:
        return import_module("av")
    except ImportError:
        raise MissingExtraError(
            'video files are decoded by PyAV, which is missing: pip install "depthwise[video]"; '
            "folders of frames need nothing."
        ) from None

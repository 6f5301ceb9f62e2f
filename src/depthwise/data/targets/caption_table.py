"""The noun CaptionTable: what is said of each image, any number of captions each, in one flat list.

    texts    all captions, those of the first image first
    starts   the captions of image i are starts[i] to starts[i + 1]

N images, M captions.
"""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from depthwise.errors import InputError

__all__ = ["CaptionTable"]


@dataclass(frozen=True, eq=False)
class CaptionTable:
    """texts: tuple of M strings; starts int64 (N + 1,).

    `table[i]` is the list of captions of image i, `len(table)` is N.
    """

    texts: tuple[str, ...]
    starts: np.ndarray

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[str]]) -> Self:
        """From the captions of each image."""
        kept = [tuple(captions) for captions in lists]
        starts = np.concatenate([[0], np.cumsum([len(captions) for captions in kept])])
        return cls(tuple(text for captions in kept for text in captions), starts.astype(np.int64))

    @classmethod
    def of(cls, y: Any, items: int, name: str = "y") -> Self:
        """From what a person gives for `items` images: a CaptionTable, a caption for each image, or
        a sequence of captions for each. Raises InputError naming the image that has none, and the
        caption that is empty or no text.
        """
        is_list = isinstance(y, Sized) and not isinstance(y, str | bytes)
        if not is_list:
            raise InputError(
                f"{name} must be a caption, or a list of captions, for each image; got "
                f"{type(y).__name__}."
            )
        if len(y) != items:
            raise InputError(
                f"{name} has captions of {len(y):,} images, but there are {items:,} images; give "
                "as many."
            )
        if not isinstance(y, cls):
            y = cls.from_lists(_captions(y[i], f"{name}[{i}]") for i in range(items))
        y.require_captions(name)
        return y

    def require_captions(self, name: str = "y") -> None:
        """Raises InputError for an image without a caption and for a caption without a word."""
        bare = np.flatnonzero(self.counts == 0)
        if len(bare):
            raise InputError(
                f"{name}[{bare[0]}] has no caption ({len(bare):,} such images); give it one, or "
                "leave the image out."
            )
        empty = [m for m, text in enumerate(self.texts) if not text.strip()]
        if empty:
            i = int(self.items[empty[0]])
            raise InputError(
                f"{name}[{i}] has an empty caption ({len(empty):,} such); leave it out."
            )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> list[str]:
        i = range(len(self))[i]  # counts from the end too, and raises IndexError beyond
        return list(self.texts[int(self.starts[i]) : int(self.starts[i + 1])])

    @property
    def counts(self) -> np.ndarray:
        """int64 (N,): how many captions each image has."""
        return np.diff(self.starts)

    @property
    def items(self) -> np.ndarray:
        """int64 (M,): the image of each caption."""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, indices: Any) -> Self:
        """The captions of these images (int positions or a mask (N,)), in their order."""
        chosen = np.arange(len(self))[np.asarray(indices)].reshape(-1)
        return type(self).from_lists(self[int(i)] for i in chosen)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """`of_arrays` makes the same table of these: bytes of all texts, and where each ends."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in self.texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        return {
            "bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "ends": ends,
            "starts": self.starts,
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        data, ends = arrays["bytes"].tobytes(), arrays["ends"].tolist()
        pairs = zip([0, *ends], ends)
        texts = tuple(data[a:b].decode("utf-8", "surrogatepass") for a, b in pairs)
        return cls(texts, arrays["starts"])

    def tobytes(self) -> bytes:
        """Everything, in an order of bytes that is the same on all machines."""
        arrays = self.to_arrays()
        numbers = (arrays["ends"], arrays["starts"])
        return arrays["bytes"].tobytes() + b"".join(a.astype("<i8").tobytes() for a in numbers)


def _captions(value: Any, name: str) -> list[str]:
    """One caption, or several, of one image."""
    if isinstance(value, str):
        return [str(value)]
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise InputError(
            f"{name} must be a caption (a str) or a list of them; got {type(value).__name__}."
        )
    captions = list(value)
    for caption in captions:
        if not isinstance(caption, str):
            raise InputError(
                f"{name} must be captions (str); got {type(caption).__name__} {caption!r:.40}."
            )
    return [str(caption) for caption in captions]

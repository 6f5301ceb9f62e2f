"""A Tree: named files and their bytes, wherever they lie (a folder, a zip, a tar).

Readers see only a Tree, so every format works the same unpacked and packed, and nothing is ever
extracted to disk. Names are relative, with forward slashes.
"""

import gzip
import io
import zlib
from collections.abc import Collection
from typing import Protocol

from depthwise.data.dataset import Problem
from depthwise.errors import DataError

__all__ = ["MAX_BYTES", "Tree", "gunzip", "gunzip_head", "is_gzip", "is_junk", "left_out", "listed"]
__all__ += ["slashed"]

MAX_BYTES = 8 << 30  # nothing larger is ever unpacked into memory
MAX_RATIO = 300  # real data packs 1 to 100 times; a bomb 1,000 times
_RATIO_MATTERS_FROM = 64 << 20
_JUNK = {"thumbs.db", "desktop.ini", "__macosx"}


class Tree(Protocol):
    """Named files. `sizes` maps each name to its length in bytes (unpacked)."""

    where: str
    problems: list[Problem]

    @property
    def sizes(self) -> dict[str, int]: ...

    def read(self, name: str) -> bytes:
        """All bytes of a file; raises DataError when they cannot be had."""
        ...

    def head(self, name: str) -> bytes:
        """The first few hundred bytes of a file, to recognise it by."""
        ...

    def stamp(self) -> str:
        """Changes whenever the content may have changed: names, sizes, times."""
        ...


def is_junk(name: str) -> bool:
    """Hidden files and what operating systems leave behind; `name` has no slash."""
    return name.startswith(".") or name.lower() in _JUNK


def slashed(names: Collection[str]) -> dict[str, str]:
    """Each name with forward slashes -> as it is: of archives made on Windows, and of what was
    unpacked from them elsewhere, whose names have backslashes and no slash."""
    if any("/" in name for name in names) or not any("\\" in name for name in names):
        return {name: name for name in names}
    return {name.replace("\\", "/"): name for name in names}


def listed(names: list[str], most: int = 3) -> str:
    """A few names for a message: "a.jpg, b.jpg, c.jpg and 4 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def left_out(kind: str, names: list[str], detail: str) -> list[Problem]:
    """One Problem that counts and names the files; [] without any."""
    return [Problem(kind, listed(names), detail, len(names))] if names else []


def is_gzip(data: bytes) -> bool:
    return data[:2] == b"\x1f\x8b"


def gunzip(data: bytes, where: str, most: int = MAX_BYTES) -> bytes:
    """The unpacked content, at most `most` bytes.

    Raises DataError for broken streams, and for bombs before their bytes fill the memory.
    """
    most = min(most, max(_RATIO_MATTERS_FROM, len(data) * MAX_RATIO))
    try:
        unpacker = zlib.decompressobj(wbits=31)
        content = unpacker.decompress(data, most + 1)
        if unpacker.eof and unpacker.unused_data.strip(b"\0"):  # several members in a row
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as members:
                content = members.read(most + 1)
        cut_off = not unpacker.eof and len(content) <= most
    except (zlib.error, EOFError, OSError) as error:
        raise DataError(f"{where} is not a sound gzip file ({error}); fetch it again.") from None
    if cut_off:
        raise DataError(f"{where} is cut off: the gzip stream has no end; fetch it again.")
    if len(content) > most:
        raise DataError(f"{where} unpacks to more than {most:,} bytes; it looks like a bomb.")
    return content


def gunzip_head(head: bytes, most: int = 256) -> bytes:
    """The first bytes of a gzip stream of which only the beginning is known; b"" if broken."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, most)
    except zlib.error:
        return b""

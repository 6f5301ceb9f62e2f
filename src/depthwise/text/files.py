"""Read and check text from files and arguments; errors name the byte that is wrong."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.errors import DataError, InputError

__all__ = ["as_texts", "read_text"]

MARKS = {  # a file's first bytes, longest first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """What a text file says, without the mark that some programs put at its front.

    Raises DataError naming the file, the first byte that is wrong, and the remedy.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Give a text file.") from None
    try:
        return raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except LookupError:
        raise InputError(f'there is no encoding {encoding!r}; try "utf-8" or "latin-1".') from None
    except UnicodeDecodeError as error:
        found = next((name for mark, name in MARKS.items() if raw.startswith(mark)), None)
        likely = f"it begins like {found}" if found else 'if it is old Western text, "latin-1"'
        raise DataError(
            f"{path} is not {encoding}: byte {error.start} (0x{raw[error.start]:02x}) cannot be "
            f"read. Save it as UTF-8, or give its encoding ({likely})."
        ) from None


def as_texts(X: Any, name: str = "X") -> list[str]:
    """Texts from one or a sequence of strings (text itself) and `Path`s (files of it).

    Raises InputError for anything else, and for a string that is the name of a file.
    """
    if isinstance(X, str | Path):
        return [_text(_no_file_name(X, name), name)]
    if isinstance(X, bytes) or not isinstance(X, Iterable):
        raise InputError(
            f"{name} must be text, a Path or a sequence of them; got {type(X).__name__}."
        )
    texts = [_text(item, f"{name}[{place}]") for place, item in enumerate(_items(X))]
    if not texts:
        raise InputError(f"{name} has no text in it; at least one is needed.")
    return texts


def _items(X: Any) -> Any:
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) == 2 and shape[1] == 1:  # one column of a table
        return np.asarray(X)[:, 0]
    return X


def _text(item: Any, name: str) -> str:
    if isinstance(item, Path):
        return read_text(item)
    if not isinstance(item, str):
        raise InputError(
            f"{name} must be text (a str) or a Path; got {type(item).__name__} {item!r:.40}. "
            "Turn it into str, or leave it out."
        )
    return str(item)


def _no_file_name(X: str | Path, name: str) -> str | Path:
    """X, unless it is a string that names a file: its name is hardly the text that was meant."""
    try:
        mistaken = isinstance(X, str) and "\n" not in X and Path(X).is_file()
    except (OSError, ValueError):
        mistaken = False
    if mistaken:
        raise InputError(
            f"{name} is the name of a file, not its text. To read it: Path({str(X)!r})."
        )
    return X

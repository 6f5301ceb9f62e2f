"""Small text files beside the data: read with a limit, and what their lines and numbers mean."""

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from depthwise.data.problem import Problem
from depthwise.data.raw import part_of
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = [
    "alike_classes",
    "bytes_of",
    "json_of",
    "lines_of",
    "number",
    "numbered_lines",
    "part_in",
    "require_one_spelling",
    "stem",
    "text_of",
]

MAX_TEXT_BYTES, MAX_JSON_BYTES = 64 << 20, 1 << 30
_LARGEST = 1e7  # pixels: no image is wider


def text_of(tree: Tree, name: str) -> str:
    """A file's text; raises DataError if it is too large or no UTF-8 text."""
    return _decoded(bytes_of(tree, name, MAX_TEXT_BYTES), name)


def lines_of(tree: Tree, name: str) -> list[str]:
    """The lines of a text file without white space at their ends, blank ones left out."""
    return [line for _, line in numbered_lines(tree, name)]


def numbered_lines(tree: Tree, name: str) -> list[tuple[int, str]]:
    """The same with their numbers in the file, from 1. Only CR, LF and CRLF end a line."""
    lines = enumerate(re.split(r"\r\n|\r|\n", text_of(tree, name)), 1)
    return [(k, stripped) for k, line in lines if (stripped := line.strip())]


def json_of(tree: Tree, name: str) -> Any:
    """What a JSON file says. Raises DataError for broken, too deep or too large files, and NaN."""

    def refuse(value: str) -> None:
        raise DataError(f"{name} holds {value}, which is no number; mend the file.")

    text = _decoded(bytes_of(tree, name, MAX_JSON_BYTES), name)
    try:
        return json.loads(text, parse_constant=refuse)
    except DataError:
        raise
    except RecursionError:
        raise DataError(f"{name} is nested too deeply to be an annotation file.") from None
    except ValueError as error:
        raise DataError(f"{name} is no sound JSON ({error}).") from None


def number(value: Any, what: str) -> float:
    """A finite coordinate; raises DataError that begins with `what` (file and place)."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not abs(found) <= _LARGEST:  # NaN is not
        raise DataError(f"{what}: {_short(value)} is no coordinate; give a number of pixels.")
    return found


def stem(name: str) -> str:
    """The last part of a name, without its folders and its suffix."""
    return PurePosixPath(name).stem


def part_in(name: str) -> int | None:
    """TRAIN, VALIDATION or TEST if a folder of this name means one ("train2017/7.jpg")."""
    for folder in PurePosixPath(name).parts[:-1]:
        part = part_of(re.sub(r"[-_]?\d+$", "", folder))
        if part is not None:
            return part
    return None


def require_one_spelling(names: Mapping[str, str] | Iterable[str], what: str) -> None:
    """Raises DataError if two names differ by case, spaces or the form of their Unicode only.

    names: name -> the file that it comes from, or names alone; what: "class", "person".
    """
    origin = names if isinstance(names, Mapping) else {}
    for other, name in _spelt_alike(names):
        places = f" ({origin[other]} and {origin[name]})" if origin else ""
        raise DataError(
            f"two names for one {what}, it seems: {other!r} and {name!r}{places}; rename one, or "
            "make them one."
        )


def alike_classes(names: Iterable[str]) -> list[Problem]:
    """A Problem for classes whose names differ only by case, spaces or Unicode form; no error,
    since letters as classes are "a" and "A"."""
    pairs = [f"{ascii(one)[1:-1]} and {ascii(other)[1:-1]}" for one, other in _spelt_alike(names)]
    detail = "two classes whose names differ by case, spaces or Unicode form only; rename if one"
    return left_out("names alike", pairs, detail)


def _spelt_alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for name in names:
        folded = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = seen.setdefault(folded, name)
        if other != name:
            yield other, name


def bytes_of(tree: Tree, name: str, most: int = MAX_TEXT_BYTES) -> bytes:
    """A file's bytes; raises DataError if it is larger than `most`."""
    if tree.sizes[name] > most:
        raise DataError(f"{name} is larger than {most >> 20} MiB, which no such file needs to be.")
    return tree.read(name)


def _decoded(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text (byte {error.start:,}).") from None
    if "\0" in text:
        raise DataError(f"{name} holds zero bytes, so it is not a text file.")
    return text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

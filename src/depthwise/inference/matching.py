"""Which texts fit the pictures in files best, or which pictures fit a text.

Shapes: N pictures, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.data.readers.text_tables import parse_texts
from depthwise.errors import DataError, InputError
from depthwise.inference.input_files import Files, Tell, Told, each_item
from depthwise.models.abilities import Searches
from depthwise.models.estimator import Estimator

__all__ = ["Pictures", "Texts", "matches"]

PICTURES = 5  # told of a text, where nobody says how many


@dataclass(frozen=True)
class Texts(Told):
    """Those that fit a picture best, each with its cosine."""

    ranked: list[tuple[str, float]]

    def lines(self) -> list[tuple[str, str, float]]:
        """(picture, text, cosine)"""
        return [(self.name, text, cosine) for text, cosine in self.ranked]

    def to_dict(self) -> dict[str, Any]:
        return {**self.where(), "texts": [{"text": t, "cosine": c} for t, c in self.ranked]}


@dataclass(frozen=True)
class Pictures:
    """Those that fit a text best, each with its cosine."""

    text: str
    ranked: list[tuple[Told, float]]

    def lines(self) -> list[tuple[str, str, float]]:
        """(picture, text, cosine)"""
        return [(picture.name, self.text, cosine) for picture, cosine in self.ranked]

    def to_dict(self) -> dict[str, Any]:
        found = [{**picture.where(), "cosine": cosine} for picture, cosine in self.ranked]
        return {"text": self.text, "pictures": found}


def matches(
    model: Estimator,
    files: Files,
    texts: Sequence[str],
    listed: str | None,
    find: Sequence[str],
    top: int | None = None,
    tell: Tell = lambda line: None,
) -> Iterator[Texts | Pictures | InputError]:
    """Of every picture the `top` best of `texts` and of those in the file `listed`; or, with
    `find`, of every text there the `top` best pictures. In the place of a bad file, its error.

    Raises InputError where no text is given, or the model does not compare pictures with texts.
    """
    if model.searcher is None:
        raise InputError(f"{model.family} does not compare pictures with texts: fit an image-text.")
    if find and (texts or listed):
        raise InputError("--find looks for pictures, --text and --texts for texts. Give one kind.")
    if find:
        return _pictures(model, model.searcher, files, find, PICTURES if top is None else top, tell)
    known = [*texts, *(_texts_in(listed) if listed else [])]
    if not known:
        raise InputError(
            f"{model.family} says which text fits a picture: give texts by --text TEXT or --texts "
            "FILE; or find the pictures that fit a text: --find TEXT."
        )
    return _texts(model, model.searcher, files, known, 1 if top is None else top, tell)


def _texts_in(file: str) -> list[str]:
    try:
        return list(parse_texts(Path(file).read_bytes(), file))
    except OSError as error:
        raise DataError(f"--texts {file} cannot be read: {error.strerror or error}.") from None


def _texts(
    model: Estimator, searcher: Searches, files: Files, texts: list[str], top: int, tell: Tell
) -> Iterator[Texts | InputError]:
    vectors, most = searcher.encode_texts(texts), min(top, len(texts))

    def ask(images: np.ndarray) -> list[list[tuple[str, float]]]:
        return _ranked(searcher, images, vectors, most, texts.__getitem__)

    for told in each_item(model, files, ask, tell):
        yield told if isinstance(told, InputError) else Texts(*told)


def _pictures(
    model: Estimator, searcher: Searches, files: Files, find: Sequence[str], top: int, tell: Tell
) -> Iterator[Pictures | InputError]:
    def ask(images: np.ndarray) -> list[np.ndarray]:
        return list(searcher.encode_images(images))

    told = list(each_item(model, files, ask, tell))
    yield from (error for error in told if isinstance(error, InputError))
    items = [item for item in told if not isinstance(item, InputError)]
    if not items:
        return
    pictures = [Told(file, row) for file, row, _ in items]
    vectors, most = np.stack([vector for *_, vector in items]), min(top, len(items))
    ranked = _ranked(searcher, list(find), vectors, most, pictures.__getitem__)
    yield from map(Pictures, find, ranked)


def _ranked(
    searcher: Searches, queries: Any, among: np.ndarray, top: int, named: Callable[[int], Any]
) -> list[list[tuple[Any, float]]]:
    """The `top` nearest of `among` to each query, best first, with their cosines."""
    places, cosines = searcher.search(queries, among, k=top)
    return [
        [(named(k), c) for k, c in zip(row, each, strict=True)]
        for row, each in zip(places.tolist(), cosines.tolist(), strict=True)
    ]

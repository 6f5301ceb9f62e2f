"""Who is enrolled: one unit vector a person, in the order of their names.

    g = sum_i e(x_i) / |sum_i e(x_i)|                    the direction of a person's n pictures
    g' = (n g + sum_i e(x'_i)) / |n g + sum_i e(x'_i)|   after more of them
    identify: the person j with the largest e . g_j, "unknown" unless that is above the threshold

No picture is kept. Shapes: P people, N images, E embedding.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depthwise.errors import InputError

__all__ = [
    "UNKNOWN",
    "Gallery",
    "checked_name",
    "checked_people",
    "direction",
    "known_row",
    "without",
]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Gallery:
    """The people enrolled. pictures: names -> number of pictures, in the order of the rows of
    vectors (P, E); threshold: the cosine above which two faces are one person."""

    pictures: dict[str, int]
    vectors: Tensor
    threshold: float

    def with_person(self, name: str, embedded: np.ndarray, *, add: bool = False) -> Gallery:
        """With a person of these embeddings (N, E), or with more of somebody who is enrolled
        (`add`). Raises InputError where the name says otherwise, or they look like another."""
        if (name in self.pictures) is not add:
            raise InputError(
                f"{name!r} is enrolled already. For more pictures of the same person give "
                "add=True; two people need two names."
                if not add
                else f"{name!r} is not enrolled, so there is nobody to add pictures to."
            )
        faces = torch.from_numpy(embedded)
        if not add:
            joined = torch.cat([self.vectors, direction(faces)[None]])
        else:
            row, count = known_row(name, self.pictures), self.pictures[name]
            self._require_same(name, self.vectors[row], direction(faces))
            joined = self.vectors.clone()
            joined[row] = direction(faces, self.vectors[row], count)
        pictures = {**self.pictures, name: self.pictures.get(name, 0) + len(embedded)}
        return replace(self, pictures=pictures, vectors=joined)

    def without_person(self, name: str) -> Gallery:
        """Their vector is overwritten in the memory where it was, too."""
        others = {other: n for other, n in self.pictures.items() if other != name}
        row = known_row(name, self.pictures)
        return replace(self, pictures=others, vectors=without(self.vectors, row))

    def similarities(self, embedded: np.ndarray) -> np.ndarray:
        """Cosines (N, P) of embeddings (N, E). Raises InputError where nobody is enrolled."""
        self.require_people()
        return embedded @ self.vectors.numpy().T

    def names_of(self, similarities: np.ndarray) -> np.ndarray:
        """Names (N,) of cosines (N, P), "unknown" for strangers."""
        names, nearest = np.array([*self.pictures, UNKNOWN]), similarities.argmax(axis=1)
        stranger = similarities.max(axis=1) <= self.threshold
        return names[np.where(stranger, len(self.pictures), nearest)]

    def require_people(self) -> None:
        """Raises InputError where nobody is enrolled."""
        if not self.pictures:
            raise InputError("nobody is enrolled: enroll(name, images) people first.")

    def _require_same(self, name: str, known: Tensor, new: Tensor) -> None:
        if float(known @ new) <= self.threshold:
            raise InputError(
                f"these pictures do not look like {name!r} (similarity {float(known @ new):.2f}, "
                f"threshold {self.threshold:.2f}): two people need two names. If it is the same "
                f"person, forget({name!r}) and enroll all pictures together."
            )


def direction(embeddings: Tensor, before: Tensor | None = None, count: int = 0) -> Tensor:
    """g of unit embeddings (N, E), or g' of a person whose `count` pictures gave `before` (E,)."""
    total = embeddings.double().sum(dim=0)
    if before is not None:
        total = total + count * before.double()
    return functional.normalize(total, dim=0).float()


def without(vectors: Tensor, row: int) -> Tensor:
    """(P, E) -> (P - 1, E) in memory of its own; in the old memory the row is overwritten."""
    left = torch.cat([vectors[:row], vectors[row + 1 :]]).clone()
    vectors.detach()[row].zero_()
    return left


def checked_name(name: Any) -> str:
    """The name. Raises InputError for no text, or what `identify` answers for strangers."""
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"name must be a person's name; got {name!r}.")
    if name == UNKNOWN:
        raise InputError(f"name must not be {UNKNOWN!r}, which identify answers for strangers.")
    return name


def known_row(name: str, names: Iterable[str]) -> int:
    """The place of a name. Raises InputError, with the nearest name, for one that is not there."""
    known = list(names)
    if name in known:
        return known.index(name)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"there is nobody called {name!r} among the {len(known)} people.{hint}")


def checked_people(enrolled: Any) -> dict[str, int]:
    """Names -> number of pictures, of a file that may be anyone's. Raises ValueError."""
    if not isinstance(enrolled, Mapping):
        raise ValueError("a gallery that is no table of names")
    for name, count in enrolled.items():
        if type(count) is not int or count < 1:
            raise ValueError(f"{count!r} pictures in the gallery")
        checked_name(name)
    return dict(enrolled)

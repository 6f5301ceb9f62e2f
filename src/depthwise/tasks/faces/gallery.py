"""Who is enrolled: one unit vector a person, in the order of their names.

    g = sum_i e(x_i) / |sum_i e(x_i)|                    the direction of a person's n pictures
    g' = (n g + sum_i e(x'_i)) / |n g + sum_i e(x'_i)|   after more of them
    identify: the person j with the largest e . g_j, "unknown" unless that is above the threshold

No picture is kept. Shapes: P people, N images, E embedding.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from depthwise.errors import InputError

__all__ = ["UNKNOWN", "Gallery", "checked_people", "direction", "without"]

UNKNOWN = "unknown"


class Gallery:
    """The people enrolled, of an estimator whose network has a buffer `gallery` (P, E).

    enrolled_: names -> number of pictures, in the order of the gallery's rows; threshold_: the
    cosine above which two faces are one person.
    """

    network_: Any
    input_shape_: tuple[int, ...]
    classes_: np.ndarray
    enrolled_: dict[str, int]
    threshold_: float
    _optimizer_state: dict[str, Any] | None
    _take: Callable[..., Any]
    _embeddings: Callable[[np.ndarray], np.ndarray]

    def enroll(self, name: str, images: Any, *, add: bool = False) -> Self:
        """Remember a person by pictures (N, C, H, W), or one (C, H, W). `add`: more pictures of
        somebody who is enrolled, refused where they look like another person.

        Raises InputError for no picture, or for a name that somebody has already.
        """
        check_is_fitted(self, "network_")
        pictures, name = self._pictures(images, f"enroll({name!r})"), checked_name(name)
        if (name in self.enrolled_) is not add:
            raise InputError(
                f"{name!r} is enrolled already. For more pictures of the same person give "
                "add=True; two people need two names."
                if not add
                else f"{name!r} is not enrolled, so there is nobody to add pictures to."
            )
        embedded = torch.from_numpy(self._embeddings(pictures))
        vectors = self.network_.gallery
        if not add:
            joined = torch.cat([vectors, direction(embedded)[None]])
        else:
            row, count = known_row(name, self.enrolled_), self.enrolled_[name]
            self._require_same(name, vectors[row], direction(embedded))
            joined = vectors.clone()
            joined[row] = direction(embedded, vectors[row], count)
        self._keep(joined, {**self.enrolled_, name: self.enrolled_.get(name, 0) + len(pictures)})
        return self

    def identify(self, images: Any) -> np.ndarray:
        """Names (N,) of the people enrolled, "unknown" for strangers. Raises InputError where
        nobody is enrolled."""
        similarities = self.similarities(images)
        names, nearest = np.array([*self.enrolled_, UNKNOWN]), similarities.argmax(axis=1)
        stranger = similarities.max(axis=1) <= self.threshold_
        return names[np.where(stranger, len(self.enrolled_), nearest)]

    def similarities(self, images: Any) -> np.ndarray:
        """Cosines (N, P) of images with the people enrolled, in the order of `enrolled_`."""
        check_is_fitted(self, "network_")
        if not self.enrolled_:
            raise InputError("nobody is enrolled: enroll(name, images) people first.")
        embedded = self._embeddings(self._pictures(images, "identify"))
        return embedded @ self.network_.gallery.numpy().T

    def verify(self, a: Any, b: Any) -> np.ndarray:
        """Whether a[i] and b[i] show one person, (N,) bool; images (N, C, H, W) or (C, H, W)."""
        return self.similarity(a, b) > self.threshold_

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Cosines (N,) of the embeddings of a[i] and b[i]."""
        check_is_fitted(self, "network_")
        left, right = (self._pictures(images, "verify") for images in (a, b))
        if len(left) != len(right):
            raise InputError(
                f"verify compares as many with as many; got {len(left)}, {len(right)}."
            )
        return (self._embeddings(left) * self._embeddings(right)).sum(axis=1)

    def forget(self, name: str) -> Self:
        """Remove a person for good: from the gallery and from the people trained on.

        `save` into the model's folder removes them there too. What the network's weights learnt
        from pictures of many people stays as it is; train again without theirs to undo that too.
        """
        check_is_fitted(self, "network_")
        trained_on = [str(person) for person in self.classes_]
        known_row(name, [*self.enrolled_, *trained_on])
        if name in self.enrolled_:
            others = {other: n for other, n in self.enrolled_.items() if other != name}
            row = known_row(name, self.enrolled_)
            self._keep(without(self.network_.gallery, row), others)
        if name in trained_on:
            row = trained_on.index(name)
            self.network_.people = nn.Parameter(without(self.network_.people.detach(), row))
            self.classes_ = np.delete(self.classes_, row)
            self._optimizer_state = None  # momentum is a likeness too
        return self

    def _pictures(self, images: Any, told: str) -> np.ndarray:
        """One picture or several, checked: (N, C, H, W)."""
        array = np.asarray(images)
        if array.ndim == 3 and array.shape == self.input_shape_:
            array = array[None]
        if not len(array):
            raise InputError(f"{told} got no picture; at least one face is needed.")
        return self._take(array, reset=False)[0]

    def _keep(self, vectors: Tensor, enrolled: dict[str, int]) -> None:
        self.network_.gallery, self.enrolled_ = vectors, enrolled

    def _require_same(self, name: str, known: Tensor, new: Tensor) -> None:
        if float(known @ new) <= self.threshold_:
            raise InputError(
                f"these pictures do not look like {name!r} (similarity {float(known @ new):.2f}, "
                f"threshold {self.threshold_:.2f}): two people need two names. If it is the same "
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
    """Raises InputError for a name that is none, or that `identify` answers for strangers."""
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

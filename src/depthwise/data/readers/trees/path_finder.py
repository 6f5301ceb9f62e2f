"""Which file of a tree a name in an annotation means: the one with the longest common tail of path.

    said                              there                       means
    cam1/7.png                        cam1/7.png  cam2/7.png      cam1/7.png
    C:\\data\\set\\cam2\\7.png            cam1/7.png  cam2/7.png      cam2/7.png
    7.png, or 7                       a/7.png                     a/7.png
    7.png                             a/7.png     b/7.png         an error: equally good
    cam1/7.png                        cam2/7.png                  nothing, it is missing (see below)

Of equally long tails the file in the part that the annotation says wins, then the one nearest to
the annotation. Names are compared in one Unicode form, and by case only if that leaves something.

A folder may have been renamed, so that `images/7.png` means `pics/7.png`. But where some names
from a source and a folder are found in just that folder, part or place, the others that are not
there are missing: a file that only has the same name is another one.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from depthwise.data.readers.trees.small_texts import part_in
from depthwise.errors import DataError

__all__ = ["Asked", "PathFinder"]


class Asked(NamedTuple):
    """A name as an annotation has it, the file that says so, the part that this file is of, and a
    path that the file may resemble (of an annotation for one picture its own)."""

    said: str
    source: str
    part: int | None = None
    like: str = ""


class _Match(NamedTuple):
    """part: 1 in the part said, -1 in another, 0 unknown; same: no folder contradicts; near: below
    the folder of the source; tail: common last pieces of the path; likeness: of the folders."""

    part: int
    same: bool
    near: bool
    tail: int
    likeness: int
    name: str

    @property
    def score(self) -> tuple[int, ...]:
        return (self.same, self.tail, self.part, self.near, self.likeness)


class PathFinder:
    """Finds names among these files of a tree."""

    def __init__(self, names: Iterable[str]):
        self._whole: dict[str, list[str]] = defaultdict(list)  # by name, else without suffix,
        self._stems: dict[str, list[str]] = defaultdict(list)  # else the same whatever the case
        self._folded: dict[str, list[str]] = defaultdict(list)
        for name in names:
            last = _plain(name).rpartition("/")[2]
            without = last.rpartition(".")[0] or last
            self._whole[last].append(name)
            self._stems[without].append(name)
            for key in {last.casefold(), without.casefold()}:
                self._folded[key].append(name)

    def find(self, asked: Iterable[Asked]) -> dict[Asked, str | None]:
        """The file that each name means, None if it is missing.

        Raises DataError for a name that several files fit equally well, and for two names that fit
        one file equally well.
        """
        every = list(dict.fromkeys(asked))
        found = {one: match for one in every if (match := self._best(one)) is not None}
        for some in _grouped(found).values():
            most = [max(getattr(found[one], kind) for one in some) for kind in _KINDS]
            for one in some:
                if any(getattr(found[one], k) < best for k, best in zip(_KINDS, most)):
                    del found[one]
        _drop_weaker(found)
        return {one: found[one].name if one in found else None for one in every}

    def _best(self, one: Asked) -> _Match | None:
        said = _pieces(one.said)
        if not said:
            return None
        last = said[-1]
        names = self._whole.get(last) or self._stems.get(last)
        names = names or self._folded.get(last.casefold(), [])
        matches = sorted((_match(one, said, name) for name in names), key=lambda m: m.score)
        if len(matches) > 1 and matches[-1].score == matches[-2].score:
            raise DataError(
                f"{one.source}: {one.said!r} may be {matches[-2].name} or {matches[-1].name}; "
                "write more of its path."
            )
        return matches[-1] if matches else None


_KINDS = ("part", "same", "near")  # in which a weaker match counts only where no other is stronger


def _match(one: Asked, said: Sequence[str], name: str) -> _Match:
    pieces = _pieces(name)
    tail = 1 + _common(said[-2::-1], pieces[-2::-1])
    folder = one.source.rpartition("/")[0]
    part = part_in(name)
    agreement = 0 if one.part is None or part is None else (1 if part == one.part else -1)
    like = _pieces(one.like or one.source)[:-1]
    likeness = _common(like, pieces[:-1]) + _common(like[::-1], pieces[-2::-1])
    same = tail == min(len(said), len(pieces))
    near = bool(folder) and name.startswith(folder + "/")
    return _Match(0 if tail > 1 else agreement, same, near, tail, likeness, name)


def _grouped(found: Iterable[Asked]) -> dict[tuple[str, str], list[Asked]]:
    """Names of one source and one folder together."""
    groups: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    for one in found:
        folder = _plain(one.said).rpartition("/")[0]
        groups[one.source.rpartition("/")[0] if one.like else one.source, folder].append(one)
    return groups


def _drop_weaker(found: dict[Asked, _Match]) -> None:
    """Leaves each file to the name that fits it best; raises DataError for two that fit equally."""
    claims: dict[str, list[Asked]] = defaultdict(list)
    for one, match in found.items():
        claims[match.name].append(one)
    for name, some in claims.items():
        best = max(found[one].score for one in some)
        kept = [one for one in some if found[one].score == best]
        saying = {_plain(one.said): one for one in kept}
        if len(saying) > 1 or (kept[0].like and len(kept) > 1):
            first, second = kept[0], kept[-1]
            raise DataError(
                f"{first.source}: {first.said!r} and {second.source}: {second.said!r} both may be "
                f"{name}; write more of their paths."
            )
        for one in some:
            if found[one].score < best:
                del found[one]


def _pieces(path: str) -> list[str]:
    return [piece for piece in _plain(path).split("/") if piece not in ("", ".")]


def _plain(path: str) -> str:
    """With forward slashes, in one Unicode form."""
    path = path.replace("\\", "/")
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many pieces two paths begin with alike."""
    count = 0
    for one, other in zip(first, second):
        if one != other:
            break
        count += 1
    return count

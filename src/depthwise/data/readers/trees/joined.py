"""A folder of archives, one a class or one a part, as one Tree.

    cats.zip  dogs.zip             the files of cats.zip below cats/
    train.zip  test.zip  labels.csv    likewise, the other files as they are

An archive that holds a single folder of its own name is not nested twice.
"""

import re
from collections.abc import Mapping
from functools import cached_property

from depthwise.data.dataset import Problem
from depthwise.data.readers.trees.tree import Tree

__all__ = ["ARCHIVES", "JoinedTree"]

ARCHIVES = re.compile(r"\.(zip|tar|tgz|txz|tbz2?|tar\.(gz|xz|bz2))$", re.IGNORECASE)


class JoinedTree:
    """The files of `outer` that are no archives, and those of the archives (name -> its tree)."""

    def __init__(self, outer: Tree, archives: Mapping[str, Tree]):
        self.where = outer.where
        self.problems: list[Problem] = [*outer.problems]
        self._outer, self._archives = outer, archives

    @cached_property
    def _places(self) -> dict[str, tuple[Tree, str]]:
        places = {n: (self._outer, n) for n in self._outer.sizes if n not in self._archives}
        for archive, tree in self._archives.items():
            folder = ARCHIVES.sub("", archive) + "/"
            inside = all(name.startswith(folder) for name in tree.sizes)
            self.problems += tree.problems
            places |= {name if inside else folder + name: (tree, name) for name in tree.sizes}
        return dict(sorted(places.items()))

    @cached_property
    def sizes(self) -> dict[str, int]:
        return {name: tree.sizes[real] for name, (tree, real) in self._places.items()}

    def read(self, name: str) -> bytes:
        tree, real = self._places[name]
        return tree.read(real)

    def head(self, name: str) -> bytes:
        tree, real = self._places[name]
        return tree.head(real)

    def stamp(self) -> str:
        return self._outer.stamp()  # which names every archive with its size and time

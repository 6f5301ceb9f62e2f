"""A folder on disk (or a few chosen files of one) as a Tree."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from depthwise.data.dataset import Problem
from depthwise.data.readers.trees.tree import is_junk, slashed
from depthwise.errors import DataError

__all__ = ["FolderTree"]

_HEAD_BYTES = 512


class FolderTree:
    """All files below `root`, hidden ones and system litter left out.

    chosen: only these names directly inside root (a single file is a folder of one).
    Links are followed, but no folder is entered twice. Raises DataError if root cannot be read.
    """

    def __init__(self, root: Path, chosen: list[str] | None = None):
        self.root = root
        self.where = str(root if chosen is None else root / chosen[0])
        self.problems: list[Problem] = []
        try:
            found = self._walk(root, "", set()) if chosen is None else self._pick(chosen)
            stamps = dict(found)
        except OSError as error:
            raise DataError(f"{self.where} cannot be read ({error.strerror or error}).") from None
        names = slashed(stamps)
        self._real = {new: old for new, old in names.items() if new != old}
        self._stamps = dict(sorted((new, stamps[old]) for new, old in names.items()))
        self.sizes = {name: size for name, (size, _) in self._stamps.items()}

    def leave_out(self, names: Iterable[str]) -> None:
        """Forgets these files."""
        for name in names:
            del self.sizes[name], self._stamps[name]

    def read(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise DataError(
                f"{self._path(name)} cannot be read ({error.strerror or error})."
            ) from None

    def head(self, name: str) -> bytes:
        try:
            with self._path(name).open("rb") as file:
                return file.read(_HEAD_BYTES)
        except OSError:
            return b""

    def _path(self, name: str) -> Path:
        return self.root / self._real.get(name, name)

    def stamp(self) -> str:
        return "\n".join(f"{name}|{size}|{time}" for name, (size, time) in self._stamps.items())

    def _pick(self, chosen: list[str]) -> Iterator[tuple[str, tuple[int, int]]]:
        for name in chosen:
            info = (self.root / name).stat()
            yield name, (info.st_size, info.st_mtime_ns)

    def _walk(
        self, folder: Path, prefix: str, entered: set[tuple[int, int]]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        identity = (info := folder.stat()).st_dev, info.st_ino
        if identity in entered:
            return
        entered.add(identity)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if not is_junk(entry.name):
                    yield from self._enter(entry, prefix, entered)

    def _enter(
        self, entry: "os.DirEntry[str]", prefix: str, entered: set[tuple[int, int]]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        name = prefix + entry.name
        try:
            if entry.is_dir():
                yield from self._walk(Path(entry.path), name + "/", entered)
            elif entry.is_file():
                info = entry.stat()
                yield name, (info.st_size, info.st_mtime_ns)
        except OSError as error:
            detail = f"cannot be read ({error.strerror or error})"
            self.problems.append(Problem("unreadable folder", name, detail))

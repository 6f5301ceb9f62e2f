"""Decoded data kept between starts, one folder for each source and way of reading it.

    <cache>/decoded/<key>/inputs.npy    memory-mapped when read
                          masks.npy     likewise, of a segmentation
                          arrays.npz    labels, groups, parts, boxes, captions, pairs and the like
                          about.json    the rest, and what the files must look like

The key hashes the source's path, every file's size and time, the options and the layout's
version, so a changed source is another key. A folder is filled under another name and renamed
when whole. What does not look as about.json says is thrown away and made again. A cache that
cannot be written (permission, full disk) is done without.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.item_names import compact, of_arrays
from depthwise.data.raw import Raw
from depthwise.data.tables.columns import from_plain, to_plain
from depthwise.data.targets.box_table import BoxTable
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.data.targets.face_pairs import Pairs
from depthwise.host import cache_folder
from depthwise.scratch import scratch_suffix, sweep_once

__all__ = ["Draft", "get", "key_of"]

VERSION = 8
_SPOTS, _SPOT_BYTES = 64, 4096
_DRAFT_SECONDS = 24 * 3600


def key_of(*parts: Any) -> str:
    """A folder name for what these parts describe."""
    text = "\0".join(str(part) for part in (VERSION, *parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def get(key: str) -> Raw | None:
    """What is kept under this key, its inputs memory-mapped, or None (also if it is damaged)."""
    folder = _folder(key)
    try:
        return _read(folder)
    except FileNotFoundError:
        return None
    except Exception:  # whatever is wrong with it, it can be made again
        shutil.rmtree(folder, ignore_errors=True)
        return None


class Draft:
    """A folder being filled. `allocate` gives the array that pictures are decoded into."""

    def __init__(self, key: str):
        self._final = _folder(key)
        self._folder: Path | None = None
        self.trouble = ""
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            sweep_once(self._final.parent)
            _sweep(self._final.parent)
            name = {"prefix": f"{key}.", "suffix": scratch_suffix()}
            self._folder = Path(tempfile.mkdtemp(**name, dir=self._final.parent))
        except OSError as error:
            self._give_up(error)

    def allocate(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8, in the cache if there is room, else in memory."""
        if self._folder is not None:
            try:
                return _mapped(self._folder / "inputs.npy", shape)
            except OSError as error:
                self._give_up(error)
        return np.empty(shape, np.uint8)

    def commit(self, raw: Raw) -> None:
        """Writes the rest and gives the folder its name."""
        if self._folder is None:
            return
        try:
            _write(self._folder, raw)
            if self._final.exists():
                shutil.rmtree(self._final, ignore_errors=True)
            self._folder.rename(self._final)
            self._folder = None
        except OSError as error:
            if not self._final.exists():  # else another process was faster, with the same content
                self._give_up(error)
        finally:
            self.discard()

    def discard(self) -> None:
        """Leaves nothing half-written behind."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _give_up(self, error: OSError) -> None:
        self.trouble = f"{self._final.parent} cannot be written ({error.strerror or error})"
        self.discard()


def _sweep(parent: Path) -> None:
    """Removes what starts that were killed left unfinished a day ago or earlier."""
    for draft in parent.glob("*.*"):
        if draft.stat().st_mtime < time.time() - _DRAFT_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)


def _folder(key: str) -> Path:
    return cache_folder() / "decoded" / key


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A writable memory map whose space is taken beforehand: a full disk fails here, as an error,
    and not later, as a signal that ends the process."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _write(folder: Path, raw: Raw) -> None:
    inputs = folder / "inputs.npy"
    if inputs.exists() and isinstance(raw.inputs, np.memmap):
        raw.inputs.flush()
    else:
        np.save(inputs, raw.inputs)
    masks = folder / "masks.npy"
    if isinstance(raw.targets, np.ndarray):
        np.save(masks, raw.targets)
    np.savez(folder / "arrays.npz", **_arrays(raw))
    about = {
        "version": VERSION,
        "kind": raw.kind,
        "task": raw.task,
        "classes": raw.classes,
        "problems": [asdict(problem) for problem in raw.problems],
        "columns": to_plain(raw.columns),
        "pixel_range": raw.pixel_range,
        "items": len(raw.labels),
        "inputs_bytes": inputs.stat().st_size,
        "inputs_spots": _spots(inputs),
        "masks_spots": _spots(masks) if masks.exists() else None,
        "arrays_crc": zlib.crc32((folder / "arrays.npz").read_bytes()),
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _arrays(raw: Raw) -> dict[str, Any]:
    """All that is small, by name; what there is not is left out."""
    names = ("labels", "groups", "parts", "sizes", "palette", "shown")
    arrays = {name: getattr(raw, name) for name in names}
    if isinstance(raw.targets, BoxTable):
        arrays |= {f"boxes.{key}": value for key, value in vars(raw.targets).items()}
    if isinstance(raw.targets, CaptionTable):
        arrays |= {f"captions.{key}": value for key, value in raw.targets.to_arrays().items()}
    if raw.pairs is not None:
        arrays |= {f"pairs.{key}": value for key, value in vars(raw.pairs).items()}
    called = compact(raw.names)
    if called is not None:
        arrays |= {f"names.{key}": value for key, value in called.to_arrays().items()}
    return {name: value for name, value in arrays.items() if value is not None}


def _some(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays below this prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _read(folder: Path) -> Raw:
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    inputs = folder / "inputs.npy"
    seen = (VERSION, inputs.stat().st_size, _spots(inputs))
    if seen != (about["version"], about["inputs_bytes"], about["inputs_spots"]):
        raise ValueError("inputs.npy is not as it was written")
    if zlib.crc32((folder / "arrays.npz").read_bytes()) != about["arrays_crc"]:
        raise ValueError("arrays.npz is not as it was written")
    with np.load(folder / "arrays.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    mapped = np.load(inputs, mmap_mode="r", allow_pickle=False)[: about["items"]]
    problems = [Problem(**problem) for problem in about["problems"]]
    raw = Raw(about["kind"], mapped, arrays["labels"], about["classes"], problems=problems)
    raw.parts, raw.groups = arrays.get("parts"), arrays.get("groups")
    raw.sizes, raw.palette = arrays.get("sizes"), arrays.get("palette")
    raw.shown = arrays.get("shown")
    raw.pixel_range = None if about["pixel_range"] is None else tuple(about["pixel_range"])
    raw.columns, raw.task = from_plain(about["columns"]), about["task"]
    raw.targets = _targets(folder, arrays, about["masks_spots"])
    raw.pairs = Pairs(**pairs) if (pairs := _some(arrays, "pairs.")) else None
    raw.names = of_arrays(_some(arrays, "names."))
    return raw


def _targets(
    folder: Path, arrays: dict[str, np.ndarray], spots: int | None
) -> BoxTable | CaptionTable | np.ndarray | None:
    """Boxes, captions, or masks memory-mapped, or None."""
    if boxes := _some(arrays, "boxes."):
        return BoxTable(**boxes)
    if captions := _some(arrays, "captions."):
        return CaptionTable.of_arrays(captions)
    if spots is None:
        return None
    if _spots(folder / "masks.npy") != spots:
        raise ValueError("masks.npy is not as it was written")
    return np.load(folder / "masks.npy", mmap_mode="r", allow_pickle=False)


def _spots(path: Path) -> int:
    """A checksum of pages spread evenly over the file: enough to notice damage, at any size."""
    checksum, size = 0, path.stat().st_size
    with path.open("rb") as file:
        for k in range(_SPOTS):
            file.seek(max(0, size - _SPOT_BYTES) * k // (_SPOTS - 1))
            checksum = zlib.crc32(file.read(_SPOT_BYTES), checksum)
    return checksum

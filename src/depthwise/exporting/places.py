"""Where an exported file goes: into a folder under its usual name, or to the very file asked for.

out/          out/model.onnx, out/run_onnx.py
small.onnx    small.onnx, run_small.py beside it; the suffix says the format
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depthwise.errors import InputError

__all__ = ["SUFFIXES", "USUAL", "Place", "place_of"]

USUAL = "model"  # what files are called, the suffix aside, where a folder was asked for

SUFFIXES = {".onnx": "onnx", ".pt2": "torch-export", ".xml": "openvino", ".pte": "executorch"}


OTHERS = (".pt", ".pth", ".tflite", ".pb", ".h5", ".keras", ".mlmodel", ".engine", ".bin", ".ort")


@dataclass(frozen=True)
class Place:
    """A format, a folder, and what the files in it are called."""

    to: str
    folder: Path
    stem: str = USUAL

    def of(self, name: str) -> Path:
        """The path of one of a format's files: model.bin is small.bin, about.json small.json."""
        suffix = Path(name).suffix
        return self.folder / (name if self.stem == USUAL else f"{self.stem}{suffix}")


def place_of(to: str | None, out: str | Path) -> Place:
    """What `out`, a folder or a file, and the format asked for mean together.

    Raises InputError for a file of another format.
    """
    path = Path(out)
    meant = None if path.is_dir() else SUFFIXES.get(path.suffix.lower())
    if meant is None and path.suffix.lower() in OTHERS and not path.is_dir():
        known = ", ".join(SUFFIXES)
        raise InputError(
            f"--out {out}: files that can be written end in {known}; or give a folder."
        )
    if meant is None:
        return Place(to or "onnx", path)
    if to not in (None, meant):
        raise InputError(
            f"--out {out} is a file of {meant}, but {to} is asked for; give one of them."
        )
    return Place(meant, path.parent, path.stem)

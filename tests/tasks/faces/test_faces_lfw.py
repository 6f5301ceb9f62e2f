"""The face recogniser on real faces."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from depthwise.tasks.faces.recognizer import FaceRecognizer
from depthwise.tasks.faces.scores import pair_similarities


def test_faces_of_other_people_teach_what_tells_people_apart(shared: Path) -> None:
    """Labeled Faces in the Wild: seven pictures each of 158 people, the last 30 of them not seen.
    Chance is 0.5; a network that took one step only shows what its pixels show."""
    with zipfile.ZipFile(shared / "lfw-64.zip") as file:
        by_person: dict[str, list[str]] = {}
        for name in sorted(n for n in file.namelist() if n.endswith(".jpg")):
            by_person.setdefault(name.split("/")[0], []).append(name)
        chosen = [names[:7] for names in by_person.values() if len(names) >= 10]
        pixels = [np.asarray(Image.open(io.BytesIO(file.read(n)))) for ns in chosen for n in ns]
    X = np.ascontiguousarray(np.stack(pixels)[:, None, ::2, ::2])
    y = np.repeat(np.arange(len(chosen)), 7)
    seen = y < len(chosen) - 30

    def told_apart(epochs: float) -> float:
        model = FaceRecognizer(size="xs", epochs=epochs, validation_fraction=0, threads=1)
        embedded = model.fit(X[seen], y[seen]).transform(X[~seen])
        same, different = pair_similarities(embedded, y[~seen])
        return float((same[:, None] > different[None, ::50]).mean())

    assert told_apart(20) > max(told_apart(0.01), 0.6) + 0.06

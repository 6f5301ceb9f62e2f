"""Commands about people: `enroll`, `identify`, `verify` and `forget`, of a model of faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.commands import options as give
from depthwise.commands.edge import exit_of, print_json, say
from depthwise.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from depthwise.inference.input_files import Files
    from depthwise.models.abilities import RecognizesPeople
    from depthwise.models.estimator import Estimator

__all__ = ["enroll", "forget", "identify", "verify"]

Name = Annotated[str, typer.Argument(help="Who it is.")]
Faces = Annotated[
    list[str], typer.Argument(help="Pictures of aligned faces, .npy of them, or folders.")
]
Face = Annotated[str, typer.Argument(help="A picture of an aligned face.")]


def enroll(
    model: give.Model,
    name: Name,
    files: Faces,
    add: Annotated[bool, typer.Option("--add", help="More pictures of somebody known.")] = False,
    json: give.Json = False,
) -> None:
    """Teach a model of faces to recognise a person. It keeps one vector, and no picture."""
    import numpy as np

    loaded, people = _people(model)
    good, bad = _usable(loaded, files)
    if good:
        pictures = np.concatenate(good)
        people.enroll(name, pictures, add=add)
        loaded.save(Path(model))
        if json:
            print_json({"name": name, "pictures": len(pictures), "enrolled": people.enrolled_})
        else:
            known = people.enrolled_[name]
            number = f"{known:,} pictures" if known > 1 else "1 picture"
            print(f"{name} by {number}; {_how_many(people)} in {model}")
    for error in bad:
        say(f"error: {error}")
    if bad:
        raise typer.Exit(exit_of(len(good), len(bad)))


def identify(model: give.Model, files: Faces, json: give.JsonLines = False) -> None:
    """Identify who is on each picture, of the people enrolled; "unknown" for strangers."""
    from depthwise.commands.screen import print_people, show_answers
    from depthwise.inference.file_list import expanded

    loaded, people = _people(model)
    if not people.enrolled_:
        raise InputError(f"nobody is enrolled in {model}: depthwise enroll {model} NAME FILE...")
    found = _identified(loaded, people, expanded(files, loaded, say))
    _, code = show_answers(found, print_people, json)
    if code:
        raise typer.Exit(code)


def verify(model: give.Model, a: Face, b: Face, json: give.Json = False) -> None:
    """Compare two pictures: whether they show the same person, enrolled or not."""
    loaded, people = _people(model)
    pictures = [_pictures(loaded, file) for file in (a, b)]
    for file, found in zip((a, b), pictures, strict=True):
        if len(found) != 1:
            raise InputError(f"{file} holds {len(found)} pictures; verify compares one with one.")
    similarity = float(people.similarity(*pictures)[0])
    same, threshold = similarity > people.threshold_, people.threshold_
    if json:
        print_json({"same": same, "similarity": similarity, "threshold": threshold})
        return
    verdict = "the same person" if same else "two people"
    print(f"{verdict}  similarity {similarity:.3f}, one person above {threshold:.3f}")


def forget(model: give.Model, name: Name, json: give.Json = False) -> None:
    """Remove a person from a model of faces for good; other copies of the folder are yours to
    delete."""
    loaded, people = _people(model)
    people.forget(name)
    loaded.save(Path(model))
    if json:
        print_json({"name": name, "enrolled": people.enrolled_})
    else:
        print(f"{name} is gone; {_how_many(people)} in {model}")


# -- inside ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Who is on a picture, and how similar to the nearest of those enrolled."""

    file: str
    row: int | None
    name: str
    similarity: float

    @property
    def where(self) -> str:
        return self.file if self.row is None else f"{self.file}[{self.row}]"

    def to_dict(self) -> dict[str, Any]:
        row = {} if self.row is None else {"row": self.row}
        return {"file": self.file, **row, "name": self.name, "similarity": self.similarity}


def _identified(
    model: Estimator, people: RecognizesPeople, files: Files
) -> Iterator[Found | InputError]:
    from depthwise.inference.input_files import each_item

    def ask(pictures: np.ndarray) -> list[tuple[str, float]]:
        nearest = people.similarities(pictures).max(axis=1)
        return [(str(n), float(s)) for n, s in zip(people.identify(pictures), nearest, strict=True)]

    for told in each_item(model, files, ask, say):
        yield told if isinstance(told, InputError) else Found(told[0], told[1], *told[2])


def _how_many(people: RecognizesPeople) -> str:
    count = len(people.enrolled_)
    return f"{count:,} people enrolled" if count != 1 else "1 person enrolled"


def _people(folder: str) -> tuple[Estimator, RecognizesPeople]:
    """The model of faces in a folder, as an estimator and as what recognises people, which are one
    object. Raises InputError for another model."""
    from depthwise.catalog import load_model

    loaded = load_model(folder)
    if loaded.recognizer is None:
        raise InputError(
            f"a {loaded.family} knows no people: give a model of faces "
            "(depthwise fit DATA --family faces)."
        )
    return loaded, loaded.recognizer


def _usable(model: Estimator, files: list[str]) -> tuple[list[np.ndarray], list[InputError]]:
    """The pictures of every file that can be used, and the errors of the others."""
    from depthwise.inference.file_list import expanded

    good: list[np.ndarray] = []
    bad: list[InputError] = []
    for file in expanded(files, model, say):
        try:
            good.append(_pictures(model, file)) if isinstance(file, str) else bad.append(file)
        except InputError as error:
            bad.append(error)
    return good, bad


def _pictures(model: Estimator, file: str) -> np.ndarray:
    """The pictures of a file, as the model takes them: (N, C, H, W)."""
    from depthwise.inference.input_files import read_inputs

    shape, dtype = model.input_shape_, model.input_dtype_
    return read_inputs(Path(file), shape, dtype, levels=model.pixel_range_)

"""Commands that ask a model: `predict`, `sample` and `reconstruct`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.commands import options as give
from depthwise.commands.edge import print_json, say
from depthwise.errors import InputError

if TYPE_CHECKING:
    from depthwise.inference.input_files import Files
    from depthwise.models.estimator import Estimator

__all__ = ["predict", "reconstruct", "sample"]


def predict(
    model: give.Model,
    files: give.Files,
    top: Annotated[
        int | None,
        typer.Option(help="Classes, texts or pictures to tell, the best first.", min=1),
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="How many objects of each class.")] = False,
    draw: Annotated[
        str | None, typer.Option(help="A .png, or a folder of them: boxes or areas drawn.")
    ] = None,
    masks: Annotated[
        str | None, typer.Option(help="A .png, or a folder of them: the class of each pixel.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="A text that may fit a picture; repeatable.")
    ] = None,
    texts: Annotated[str | None, typer.Option(help="A file of such texts, one a line.")] = None,
    find: Annotated[
        list[str] | None, typer.Option(help="Tell the pictures that fit this text; repeatable.")
    ] = None,
    text_columns: give.TextColumns = None,
    json: give.JsonLines = False,
) -> None:
    """Predict the class of each file, or of its rows; or the number, where numbers were learnt.

    A model of boxes tells where which objects are, one of areas how much of the picture each class
    covers, one of captions what is on it. One of pictures and texts tells which of the texts given
    fits each picture best, or with --find which pictures fit a text. A model that was fitted
    without labels tells how strange each file is.

    A folder means the files below it, "*.jpg" in quotes what matches. Files that cannot be used
    are told, and the others answered (exit code 1).
    """
    from depthwise.catalog import load_model
    from depthwise.commands.screen import show_answers
    from depthwise.data.options import text_columns_of
    from depthwise.inference.boxes_and_masks import DESCRIBED
    from depthwise.inference.file_list import expanded

    loaded = load_model(model)
    asked = expanded(files, loaded, say)
    described = loaded.answer in DESCRIBED
    if not described:
        seen = {"--count": count, "--draw": draw, "--masks": masks}
        _refuse(seen, "boxes or areas", loaded)
    if loaded.searcher is None:
        read = {"--text": text, "--texts": texts, "--find": find}
        _refuse(read, "pictures and texts", loaded)
    if described:
        code = _described(loaded, asked, count, draw, masks, json)
    else:
        given = (top, text or [], texts, find or [], text_columns_of(text_columns))
        told, table = _answers(loaded, asked, *given)
        _, code = show_answers(told, table, json)
    if code:
        raise typer.Exit(code)


def _refuse(asked: Mapping[str, Any], kind: str, model: Estimator) -> None:
    """Options that are for models of another kind."""
    for option, value in asked.items():
        if value:
            raise InputError(f"{option} needs a model of {kind}; this is {model.family}.")


def _answers(
    model: Estimator,
    files: Files,
    top: int | None,
    text: list[str],
    texts: str | None,
    find: list[str],
    text_columns: Sequence[str] | None,
) -> tuple[Any, Any]:
    """The model's answers to the files, one by one, and the function that prints them."""
    from depthwise.commands.screen import (
        print_matches,
        print_numbers,
        print_places,
        print_predictions,
        print_verdicts,
    )
    from depthwise.inference.generating import verdicts
    from depthwise.inference.input_files import numbers, predictions, similarities
    from depthwise.inference.matching import matches

    match model.answer:
        case "ranking":
            return matches(model, files, text, texts, find, top, say), print_matches
        case "similarity":
            return similarities(model, files, say, text_columns), print_places
        case "numbers":
            return numbers(model, files, say), print_numbers
        case "score":
            return verdicts(model, files, say), print_verdicts
        case _:
            return predictions(model, files, top or 1, say, text_columns), print_predictions


def _described(
    model: Estimator, files: Files, count: bool, draw: str | None, masks: str | None, json: bool
) -> int:
    """Prints boxes, counts, shares or captions, and draws what has a place; the exit code."""
    from depthwise.commands.screen import print_places, show_answers
    from depthwise.inference import boxes_and_masks, writing

    if masks and model.answer != "mask":
        raise InputError(f"--masks needs a model of areas; this is {model.family}.")
    if draw and model.answer == "caption":
        raise InputError(f"--draw needs a model of boxes or areas; this is {model.family}.")
    if draw and count:
        raise InputError("--draw shows boxes, --count tells numbers. Give one of them.")
    finder = model.finder
    count = count or (finder is not None and finder.counts_objects and not draw)
    several = len(files) != 1
    places = [
        writing.require_drawn(option, out, several)
        for option, out in (("--draw", draw), ("--masks", masks))
        if out is not None
    ]
    found, code = show_answers(
        boxes_and_masks.answers(model, files, count, say), print_places, json
    )
    if not found:
        return code
    if draw is not None:
        boxes_and_masks.draw(places[0], found, model)
    if masks is not None:
        boxes_and_masks.save_masks(places[-1], found)
    for out in (draw, masks):
        if out is not None and not json:
            print(f"pictures in {out}")
    return code


def sample(
    model: give.Model,
    out: Annotated[str, typer.Option(help="A .png with a grid, or .npy, .npz, .csv.")],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 64,
    labels: Annotated[
        str | None, typer.Option(help="Classes of the items, such as 3 or 0,1,2, in turn.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another one gives other items.")] = None,
    json: give.Json = False,
) -> None:
    """Make new items, as a model of the data imagines them."""
    from depthwise.catalog import load_model
    from depthwise.inference import generating, writing

    generating.require_count(n, seed)
    loaded = load_model(model)
    maker = generating.generative(loaded, "sample")
    path = writing.require_out(out, loaded)
    writing.require_room(n, loaded.input_shape_, path)
    wanted = generating.parse_labels(loaded, labels, n)
    writing.write_samples(path, generating.sampled(maker, n, wanted, seed), loaded, wanted)
    if json:
        names = None if wanted is None else wanted.tolist()
        print_json({"out": out, "items": n, "labels": names})
    else:
        print(f"{n:,} samples of {loaded.family} in {out}")


def reconstruct(
    model: give.Model,
    files: give.Files,
    out: Annotated[
        str | None, typer.Option(help="A .png, a folder of them, or .npy, .npz, .csv.")
    ] = None,
    json: give.JsonLines = False,
) -> None:
    """Score how strange each file is, and show it as the model reconstructs it.

    Pictures have the items above, and under each what the model makes of it. Files that cannot be
    used are told, and the others answered (exit code 1).
    """
    from depthwise.catalog import load_model
    from depthwise.commands.screen import print_seen, show_answers
    from depthwise.inference import generating, writing
    from depthwise.inference.file_list import expanded

    loaded = load_model(model)
    generating.generative(loaded, "reconstruct")
    path = None if out is None else writing.require_out(out, loaded, folder=True)
    told = generating.reconstructions(loaded, expanded(files, loaded, say), say)
    found, code = show_answers(told, print_seen, json)
    if found and path is not None:
        writing.write_reconstructions(path, found, loaded)
        if not json:
            print(f"reconstructions in {out}")
    if code:
        raise typer.Exit(code)

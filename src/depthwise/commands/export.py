"""The command `export`: a model as a file that runs without depthwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from depthwise.commands import options as give
from depthwise.commands.edge import (
    load_told,
    print_json,
    require_one_of,
    say,
    teller,
)
from depthwise.host import require_folder

__all__ = ["export"]

SAMPLES = 512  # items that ranges are taken from and answers compared on


def export(
    model: give.Model,
    to: Annotated[
        str | None,
        typer.Option(help="onnx (default), torch-export, openvino or executorch."),
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder of the file and its script, or a file such as small.onnx.")
    ] = "exported",
    data: Annotated[
        str | None, typer.Option(help="Real items to check on, any data that fit reads.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="int8: quantise first, with ranges from --data.")
    ] = None,
    format: give.Format = None,
    label: give.Label = None,
    text_columns: give.TextColumns = None,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """Write a model as a file for other programs, and a script that runs it.

    Preprocessing is inside: the file takes raw pixels or columns, in any number. Its answers are
    compared with the model's first; where they differ, nothing is written.
    """
    from depthwise.errors import InputError

    named = bool(Path(out).suffix) and not Path(out).is_dir()  # a file, as far as one can tell
    require_folder(str(Path(out).parent) if named else out)
    require_one_of("--precision", precision, ("int8",))
    if precision and data is None:
        raise InputError(
            "--precision int8 takes the ranges of its numbers from real items: --data."
        )
    from depthwise.catalog import load_model
    from depthwise.exporting import FORMATS
    from depthwise.exporting import export as write
    from depthwise.exporting.places import place_of
    from depthwise.inference.input_files import as_the_model_takes
    from depthwise.reshaping.int8 import is_int8
    from depthwise.reshaping.quantise import quantise

    require_one_of("--to", to, tuple(FORMATS))
    require_folder(str(place_of(to, out).folder))
    tell = teller(quiet)
    loaded = load_model(model)
    samples = None
    if data is not None:
        options = {"format": format, "label": label, "text_columns": text_columns}
        dataset = load_told(data, tell, **options, **as_the_model_takes(loaded))
        samples = dataset.test.X[:SAMPLES]
        if precision and is_int8(loaded.network_):
            tell("this model computes in int8 already: exported as it is")
        elif precision:
            tell("quantising to int8")
            loaded = quantise(loaded, dataset.train.X[:SAMPLES])
    done = write(loaded, to, out, samples)
    if json:
        print_json(done.to_dict())
        return
    if not done.real:
        say("checked on made-up items only: give --data for real ones")
    print(done)

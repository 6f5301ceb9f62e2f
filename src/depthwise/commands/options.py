"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Data = Annotated[str, typer.Argument(help="Folder, file, archive, or a name such as digits.")]
Model = Annotated[str, typer.Argument(help="Folder that fit or choose (its best/) wrote.")]
Files = Annotated[list[str], typer.Argument(help="Pictures, videos, .npy, .npz, .csv, or folders.")]
Format = Annotated[str | None, typer.Option(help="Such as csv, voc or masks; else looked at.")]
Label = Annotated[str | None, typer.Option(help="Label column of a table.")]
TextColumns = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Columns of texts, by names or numbers: two are a pair."),
]
ImageSize = Annotated[str | None, typer.Option(help="Pixels, 32 or HEIGHTxWIDTH.")]
Seed = Annotated[int, typer.Option(help="Of the split and the training.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable results on stdout.")]
JsonLines = Annotated[bool, typer.Option("--json", help="A JSON object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Unlabelled = Annotated[bool, typer.Option("--unlabelled", help="Learn without the labels.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the family; repeatable."),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="classification, regression, generate, anomaly, detection, counting, segmentation, "
        "video, captions, retrieval, text, pairs, language or faces; else what the data say."
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What classes are scored by: accuracy, balanced_accuracy, f1, auroc or log_loss; "
        "numbers: r2, rmse or mae."
    ),
]
MaxLatency = Annotated[float | None, typer.Option(help="Largest median time for one item, ms.")]
MaxMemory = Annotated[float | None, typer.Option(help="Largest peak memory, MB.")]
MaxSize = Annotated[float | None, typer.Option(help="Largest weights, MB.")]
MaxEnergy = Annotated[float | None, typer.Option(help="Largest energy an item, mJ.")]
MaxParameters = Annotated[float | None, typer.Option(help="Most numbers that are learnt.")]
MaxMacs = Annotated[
    float | None, typer.Option(help="Most multiply-accumulates of one item (half the FLOPs).")
]
MaxPrice = Annotated[float | None, typer.Option(help="Largest price of the device, USD.")]
DeviceName = Annotated[
    str, typer.Option(help="this, a name from `depthwise devices` (rpi5 will do), or a TOML.")
]

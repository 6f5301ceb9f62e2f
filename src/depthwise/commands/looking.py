"""Commands that look: `measure` at a model, `inspect` at data, `devices` at what to run on."""

from __future__ import annotations

from typing import Annotated

import typer

from depthwise.ship import edge
from depthwise.ship import options as give
from depthwise.ship.edge import load_told, print_json, say, teller

__all__ = ["devices", "inspect", "measure"]


def measure(
    model: give.Model,
    data: Annotated[str | None, typer.Option(help="Data whose test part gives accuracy.")] = None,
    device: give.DeviceName = "this",
    task: give.Task = None,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    json: give.Json = False,
) -> None:
    """Take the six metrics of a model on a device.

    Accuracy is taken where data is given, on its test part; of a model without labels, how well it
    tells what is strange, or with --task generate its log-likelihood. The rest in any case.
    """
    from depthwise.catalog import load_model
    from depthwise.measuring.devices import find
    from depthwise.measuring.quality import TASKS
    from depthwise.measuring.scorecard import measure as take
    from depthwise.ship.reading import as_the_model_takes, unlike_the_models

    edge.require_one_of("--task", task, TASKS)
    loaded, target = load_model(model), find(device)
    dataset = None
    if data is not None:
        options = as_the_model_takes(loaded)
        dataset = load_told(data, say, format=format, label=label, seed=seed, **options)
        if warning := unlike_the_models(loaded, dataset):
            say(f"warning: {warning}")
    card = take(loaded, dataset, target, task=task)
    if json:
        print_json(card.to_dict())
    else:
        print(f"{loaded.family} in {model}, {card}")


def inspect(
    data: give.Data,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    image_size: give.ImageSize = None,
    json: give.Json = False,
) -> None:
    """Say what is in the data and what is wrong."""
    dataset = load_told(
        data, teller(quiet=True), format=format, label=label, image_size=image_size, seed=seed
    )
    if json:
        from depthwise.choosing.evidence import dataset_record

        print_json({**dataset_record(dataset), "source": dataset.source})
        return
    print(dataset.summary() + ("" if dataset.problems else "\n\n  nothing wrong was found"))


def devices(json: give.Json = False) -> None:
    """List the known devices, this machine first."""
    from depthwise.measuring.devices import catalog, find

    listed = [find("this"), *catalog().values()]
    if json:
        print_json([device.to_dict() for device in listed])
        return
    from depthwise.tables import console, print_devices

    print_devices(listed, console())

"""Commands that look: `measure` at a model, `inspect` at data."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Any

import typer

from depthwise.commands import edge
from depthwise.commands import options as give
from depthwise.commands.edge import load_told, print_json, say, teller

__all__ = ["inspect", "measure"]

MANY = 1000  # items, from which on looking at them takes long enough to be told


def measure(
    model: give.Model,
    data: Annotated[str | None, typer.Option(help="Data whose test part gives accuracy.")] = None,
    device: give.DeviceName = "this",
    task: give.Task = None,
    metric: give.Metric = None,
    flexibility: Annotated[
        str,
        typer.Option(
            help="quick; full: every runtime, precision and batch, in minutes; auto: quick, but "
            "none where nothing else runs here either."
        ),
    ] = "auto",
    html: Annotated[
        str | None, typer.Option(help="Also a page: time, memory and energy by layer, roofline.")
    ] = None,
    usd_per_kwh: Annotated[float, typer.Option(help="Price of a kilowatt-hour, USD.")] = 0.25,
    life_years: Annotated[float, typer.Option(help="Until the device is replaced, years.")] = 4.0,
    utilisation: Annotated[
        float, typer.Option(help="Share of its life that the device works on this, up to 1.")
    ] = 0.5,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    text_columns: give.TextColumns = None,
    json: give.Json = False,
) -> None:
    """Take the six metrics of a model on a device.

    Accuracy is taken where data is given, on its test part, and beside it balanced accuracy, F1,
    AUROC and log loss (--metric says which comes first); of a model without labels, how well it
    tells what is strange, or with --task generate its log-likelihood. The rest in any case.
    """
    edge.require_one_of("--flexibility", flexibility, ("auto", "quick", "full"))
    page = None if html is None else edge.require_page(html)
    from depthwise.catalog import load_model
    from depthwise.inference.input_files import as_the_model_takes, unlike_the_models
    from depthwise.measuring.cost import Prices
    from depthwise.measuring.devices.device_finder import find
    from depthwise.measuring.quality import TASKS, reading_for, require_known_metric
    from depthwise.measuring.scorecard import measure as take

    edge.require_one_of("--task", task, TASKS)
    require_known_metric(metric)
    prices = Prices(usd_per_kwh, life_years, utilisation)
    loaded, target = load_model(model), find(device)
    dataset = None
    if data is not None:
        options = {**as_the_model_takes(loaded), **reading_for(loaded)}
        options |= {"format": format, "label": label, "text_columns": text_columns}
        dataset = load_told(data, say, seed=seed, **options)
        if warning := unlike_the_models(loaded, dataset):
            say(f"warning: {warning}")
    ways: dict[str, bool | str] = {"full": "full", "quick": True}
    wanted = ways.get(flexibility, target.is_here or dataset is not None)
    if not wanted:
        say("flexibility is not taken, since it runs the network here: add --flexibility quick")
    options = {"flexibility": wanted, "prices": prices, "metric": metric}
    card = take(loaded, dataset, target, task=task, **options)
    if page is not None:
        from depthwise.reporting.measure_page import write_page_of

        write_page_of(loaded, card, target, page, model, shlex.join(["depthwise", *sys.argv[1:]]))
    if json:
        print_json(card.to_dict())
    else:
        print(f"{loaded.family} in {model}, {card}" + (f"\npage in {html}" if html else ""))


def inspect(
    data: give.Data,
    task: give.Task = None,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    text_columns: give.TextColumns = None,
    image_size: give.ImageSize = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Only what reading finds; no network looks at the items."),
    ] = False,
    json: give.Json = False,
) -> None:
    """Say what is in the data and what is likely wrong, what to look at first.

    A frozen network looks at every item once, which takes a minute for some ten thousand pictures:
    it finds labels that are likely wrong, pictures that are one picture, items unlike all others,
    and parts of the split that differ.
    """
    options: dict[str, Any] = {"format": format, "label": label, "image_size": image_size}
    options["text_columns"] = text_columns
    if task is not None:
        from depthwise.measuring.quality import TASKS, reading

        edge.require_one_of("--task", task, TASKS)
        options |= reading(task)
    dataset = load_told(data, teller(quiet=True), seed=seed, **options)
    from depthwise.inspecting.inspect import inspect as look

    found = look(dataset, quick=quick, log=say if len(dataset.labels) >= MANY else None)
    if json:
        from depthwise.choosing.evidence import dataset_record
        from depthwise.data.tables.column_summary import column_records

        columns = column_records(dataset)
        about = {"source": dataset.source} | ({} if columns is None else {"columns": columns})
        print_json({**dataset_record(dataset), **about, "inspection": found.to_dict()})
        return
    nothing = not dataset.problems and not found.rows
    print(dataset.summary() + ("\n\n  nothing wrong was found" if nothing else ""))
    print(f"\n{found}")

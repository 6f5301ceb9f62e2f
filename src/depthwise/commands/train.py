"""Commands that train: `choose` and `fit`."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.commands import edge
from depthwise.commands import options as give
from depthwise.commands.edge import load_told, print_json, say, teller
from depthwise.commands.stopping import INTERRUPTED
from depthwise.errors import InputError, NothingFitsError
from depthwise.host import require_folder

if TYPE_CHECKING:
    from depthwise.models.estimator import Estimator

__all__ = ["choose", "fit"]


def choose(
    data: give.Data,
    device: give.DeviceName = "this",
    task: give.Task = None,
    metric: give.Metric = None,
    max_latency_ms: give.MaxLatency = None,
    max_memory_mb: give.MaxMemory = None,
    max_size_mb: give.MaxSize = None,
    max_energy_mj: give.MaxEnergy = None,
    max_price_usd: give.MaxPrice = None,
    max_parameters: give.MaxParameters = None,
    max_macs: give.MaxMacs = None,
    minutes: Annotated[
        float,
        typer.Option("--minutes", "--train-minutes", help="Minutes for all of it but reading."),
    ] = 10.0,
    families: Annotated[str | None, typer.Option(help="Comma separated; else all.")] = None,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Also shrink what misses a limit by least.")
    ] = False,
    seed: give.Seed = 0,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "depthwise-out",
    format: give.Format = None,
    label: give.Label = None,
    text_columns: give.TextColumns = None,
    image_size: give.ImageSize = None,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """Find the network to ship, and leave it ready to use.

    Builds every family at every size, drops what cannot keep the limits on the device before any
    training, trains the rest, and takes the best: by accuracy or --metric; of models of the data
    itself, by log-likelihood (generate) or by how well they tell what is strange (anomaly). The
    report says why.
    """
    limits = {"latency_ms": max_latency_ms, "memory_mb": max_memory_mb, "size_mb": max_size_mb}
    limits |= {"energy_mj": max_energy_mj, "price_usd": max_price_usd}
    limits |= {"parameters": max_parameters, "macs": max_macs}
    for name, value in limits.items():
        edge.require_positive(f"--max-{name.replace('_', '-')}", value)
    edge.require_positive("--minutes", minutes)
    require_folder(out)

    from depthwise.catalog import find_family
    from depthwise.choosing.choose import choose as choose_network
    from depthwise.choosing.near_miss import shrink_near_miss
    from depthwise.commands.screen import show_choice, stored_choice
    from depthwise.measuring.devices.device_finder import find
    from depthwise.measuring.limits import Budget
    from depthwise.measuring.quality import TASKS, reading, require_known_metric

    edge.require_one_of("--task", task, TASKS)
    require_known_metric(metric)
    names = [name.strip() for name in families.split(",") if name.strip()] if families else None
    tell = teller(quiet)
    meant = {find_family(name).own_task() for name in names or []}
    if task is None and len(meant) == 1 and (task := meant.pop()):
        tell(f"task {task}, which is what {families} learn")
    target = find(device)
    options: dict[str, Any] = {"format": format, "label": label, "image_size": image_size}
    options["text_columns"] = text_columns
    options |= reading(task)
    dataset = load_told(data, tell, seed=seed, **options)
    try:
        record = choose_network(
            dataset,
            task=task,
            device=target,
            budget=Budget(**limits, minutes=minutes),
            families=names,
            seed=seed,
            out=out,
            watch=tell,
            command=shlex.join(["depthwise", *sys.argv[1:]]),
            rescue=shrink_near_miss if shrink else None,
            metric=metric,
        ).record
    except NothingFitsError:
        if stored := stored_choice(out):
            show_choice(stored, out, json)
        raise
    show_choice(record, out, json)
    if not record.get("complete", True):
        say("interrupted: this is the best so far; repeat the command to go on")
        raise typer.Exit(INTERRUPTED)


def fit(
    data: give.Data,
    family: Annotated[str, typer.Option(help="cnn, dnn, dsn, dbn, dbm, autoencoder, rbm, ...")],
    out: Annotated[str, typer.Option(help="Folder of the model; the same one resumes.")],
    size: Annotated[str | None, typer.Option(help="A rung of its ladder: xxs .. xl.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Items a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    set: give.Settings = None,
    task: give.Task = None,
    metric: give.Metric = None,
    unlabelled: give.Unlabelled = False,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    text_columns: give.TextColumns = None,
    image_size: give.ImageSize = None,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """Train one network; the same command resumes.

    The data are read for what the family learns, or for --task, which also says what the score is:
    with --task anomaly how well the model tells what is strange. --metric chooses the best pass
    and, of two classes, the threshold. A run that was killed goes on where it was; a finished one
    tells its result again.
    """
    require_folder(out)
    from depthwise.commands.fit_folder import fit_in, make_model, require_task, score_words
    from depthwise.commands.screen import console, print_fitted
    from depthwise.measuring.quality import TASKS, require_known_metric
    from depthwise.models.supervised import Classifier
    from depthwise.progress import ConsoleProgress

    settings: dict[str, Any] = {"size": size, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    edge.require_one_of("--task", task, TASKS)
    require_known_metric(metric)
    make = partial(make_model, family, {**settings, "random_state": seed}, set or ())
    model = make(task)
    require_task(model, task)
    options: dict[str, Any] = {"format": format, "label": label, "image_size": image_size}
    options["text_columns"] = text_columns
    options |= _reading_of(model, task, unlabelled)
    dataset = load_told(data, teller(quiet), seed=seed, **options)
    model = make(dataset.task)
    if metric is not None and isinstance(model, Classifier) and model.has_setting("metric"):
        model.metric = metric
    if quiet:
        done = fit_in(Path(out), dataset, model, task=task, metric=metric)
    else:
        title = f"{family}-{size}" if size else family
        with ConsoleProgress(title, score_words(model, dataset)) as bar:
            done = fit_in(Path(out), dataset, model, watch=bar, task=task, metric=metric)
    if json:
        print_json({"model": out, "how": done.how, **done.told()})
    elif done.quality:
        for text in done.quality.details.get("warnings", []):
            say(f"warning: {text}")
        print_fitted(done.quality, out, done.how == "finished before", console())
    if done.how == "interrupted":
        say(f"interrupted: the best so far is in {out}; repeat the command to go on")
        raise typer.Exit(INTERRUPTED)


def _reading_of(model: Estimator, task: str | None, unlabelled: bool) -> dict[str, Any]:
    """Options of the loader: what the task or the family needs, or no labels at all."""
    from depthwise.measuring.quality import reading_for

    options = reading_for(model, task)
    if not unlabelled:
        return options
    if task is not None and options.get("labelled") is not False:
        raise InputError(f"--unlabelled and --task {task} exclude each other; drop one.")
    return {"labelled": False}

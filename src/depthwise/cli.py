"""The command line: a thin skin over the library's verbs, with the same names and arguments.

    depthwise choose DATA --max-latency-ms 2      which network to ship
    depthwise fit DATA --family cnn --out DIR     train one
    depthwise predict MODEL FILE...               ask it
    depthwise sample MODEL -n 64 --out grid.png   new items, of a model of the data itself
    depthwise reconstruct MODEL FILE...           items as such a model sees them; what is strange
    depthwise measure MODEL                       its six metrics
    depthwise inspect DATA                        what is in the data, and what is wrong with it
    depthwise devices                             what there is to choose for

Results go to stdout and all else to stderr; `--json` makes the results machine-readable. Exit
codes: 0; 2 bad input; 3 nothing fits; 4 training diverged; 130 Ctrl-C. Nothing heavy is imported
until a command needs it.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from depthwise.errors import InputError, NothingFitsError
from depthwise.ship import edge
from depthwise.ship import options as give
from depthwise.ship.edge import image_side, print_json, require_folder, say, teller

if TYPE_CHECKING:
    from depthwise.data.dataset import Dataset

__all__ = ["app", "main"]

INTERRUPTED = 130


class _Commands(TyperGroup):
    """Ctrl-C is 130 whatever the version of typer; what is printed has been written before 0."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        sys.stdout.flush()
        return result


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,  # rich's help takes twice as long to appear
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Which deep network should you ship? Trains the ones that could work, measures them on "
    "your device, and leaves the winner ready to use.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from depthwise import __version__

        print(f"depthwise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """`--debug` is taken out by `main`, so that it may stand anywhere; here it is only shown."""


# -- the verbs ---------------------------------------------------------------------------------


@app.command()
def choose(
    data: give.Data,
    device: give.DeviceName = "this",
    task: give.Task = None,
    max_latency_ms: give.MaxLatency = None,
    max_memory_mb: give.MaxMemory = None,
    max_size_mb: give.MaxSize = None,
    max_energy_mj: give.MaxEnergy = None,
    max_price_usd: give.MaxPrice = None,
    train_minutes: Annotated[float, typer.Option(help="Minutes for all training together.")] = 10.0,
    families: Annotated[str | None, typer.Option(help="Comma separated; else all.")] = None,
    seed: give.Seed = 0,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "depthwise-out",
    format: give.Format = None,
    label: give.Label = None,
    image_size: give.ImageSize = None,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """Find the network to ship, and leave it ready to use.

    Builds every family at every size, drops what cannot keep the limits on the device before any
    training, trains the rest, and takes the best: by accuracy; of models of the data itself, by
    log-likelihood (generate) or by how well they tell what is strange (anomaly). The report says
    why.
    """
    limits = {"latency_ms": max_latency_ms, "memory_mb": max_memory_mb, "size_mb": max_size_mb}
    limits |= {"energy_mj": max_energy_mj, "price_usd": max_price_usd}
    for name, value in limits.items():
        edge.require_positive(f"--max-{name.replace('_', '-')}", value)
    edge.require_positive("--train-minutes", train_minutes)
    require_folder(out)

    from depthwise.catalog import find_family
    from depthwise.choosing.budget import Budget
    from depthwise.choosing.choose import choose as choose_network
    from depthwise.measuring.devices import find
    from depthwise.measuring.quality import TASKS
    from depthwise.tables import show_choice, stored_choice

    edge.require_one_of("--task", task, TASKS)
    names = [name.strip() for name in families.split(",") if name.strip()] if families else None
    for name in names or []:
        find_family(name)
    tell = teller(quiet)
    target = find(device)
    options: dict[str, Any] = {"format": format, "label": label, "image_size": image_size}
    options["labelled"] = None if task is None else task == "classification"
    dataset = _load(data, tell, seed=seed, **options)
    try:
        record = choose_network(
            dataset,
            task=task,
            device=target,
            budget=Budget(**limits, train_minutes=train_minutes),
            families=names,
            seed=seed,
            out=out,
            watch=tell,
            command=shlex.join(["depthwise", *sys.argv[1:]]),
        ).record
    except NothingFitsError:
        if stored := stored_choice(out):
            show_choice(stored, out, json)
        raise
    show_choice(record, out, json)
    if not record.get("complete", True):
        say("interrupted: this is the best so far; repeat the command to go on")
        raise typer.Exit(INTERRUPTED)


@app.command()
def fit(
    data: give.Data,
    family: Annotated[str, typer.Option(help="cnn, dnn, dsn, dbn, dbm, autoencoder, rbm, ...")],
    out: Annotated[str, typer.Option(help="Folder of the model; the same one resumes.")],
    size: Annotated[str | None, typer.Option(help="A rung of its ladder: xxs .. xl.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Items a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    set: give.Settings = None,
    unlabelled: give.Unlabelled = False,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    image_size: give.ImageSize = None,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """Train one network; the same command resumes.

    A run that was killed goes on where it was; a finished one tells its result again.
    """
    require_folder(out)
    from depthwise.progress import ConsoleProgress
    from depthwise.ship.fitting import fit_in, make_model
    from depthwise.tables import console, print_fitted

    settings = {"size": size, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    model = make_model(family, {**settings, "random_state": seed}, set or ())
    options: dict[str, Any] = {"format": format, "label": label, "image_size": image_size}
    options["labelled"] = False if unlabelled else None
    dataset = _load(data, teller(quiet), seed=seed, **options)
    if quiet:
        done = fit_in(Path(out), dataset, model)
    else:
        with ConsoleProgress(f"{family}-{size}" if size else family) as bar:
            done = fit_in(Path(out), dataset, model, watch=bar)
    if json:
        print_json({"model": out, "how": done.how, **done.told()})
    elif done.quality:
        for text in done.quality.details.get("warnings", []):
            say(f"warning: {text}")
        print_fitted(done.quality, out, done.how == "finished before", console())
    if done.how == "interrupted":
        say(f"interrupted: the best so far is in {out}; repeat the command to go on")
        raise typer.Exit(INTERRUPTED)


@app.command()
def predict(
    model: give.Model,
    files: give.Files,
    top: Annotated[int, typer.Option(help="Classes to tell, the likeliest first.", min=1)] = 1,
    json: give.JsonLines = False,
) -> None:
    """Tell the class of each file, or of its rows.

    A model that was fitted without labels tells how strange each is.
    """
    from depthwise.catalog import load_model
    from depthwise.ship.fitting import require_no_numbers
    from depthwise.ship.generating import verdicts
    from depthwise.ship.reading import predictions
    from depthwise.tables import print_predictions, print_verdicts, show_answers

    loaded = load_model(model)
    require_no_numbers(loaded.family, type(loaded))
    if loaded.n_outputs:
        _, sound = show_answers(predictions(loaded, files, top, say), print_predictions, json)
    else:
        _, sound = show_answers(verdicts(loaded, files, say), print_verdicts, json)
    if not sound:
        raise typer.Exit(InputError.exit_code)


@app.command()
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
    from depthwise.ship import generating, placing

    generating.require_count(n, seed)
    loaded = load_model(model)
    generating.require_verb(loaded, "sample")
    path = placing.require_out(out, loaded)
    placing.require_room(n, loaded.input_shape_, path)
    wanted = generating.parse_labels(loaded, labels, n)
    placing.write_samples(path, generating.sampled(loaded, n, wanted, seed), loaded, wanted)
    if json:
        names = None if wanted is None else wanted.tolist()
        print_json({"out": out, "items": n, "labels": names})
    else:
        print(f"{n:,} samples of {loaded.family} in {out}")


@app.command()
def reconstruct(
    model: give.Model,
    files: give.Files,
    out: Annotated[
        str | None, typer.Option(help="A .png, a folder of them, or .npy, .npz, .csv.")
    ] = None,
    json: give.JsonLines = False,
) -> None:
    """Tell how strange each file is, and show it as the model sees it.

    Pictures have the items above, and under each what the model makes of it. They are written if
    every file could be read.
    """
    from depthwise.catalog import load_model
    from depthwise.ship import generating, placing
    from depthwise.tables import print_seen, show_answers

    loaded = load_model(model)
    generating.require_verb(loaded, "reconstruct")
    path = None if out is None else placing.require_out(out, loaded, folder=True)
    told = generating.reconstructions(loaded, files, say)
    found, sound = show_answers(told, print_seen, json)
    if not sound:
        raise typer.Exit(InputError.exit_code)
    if path is not None:
        placing.write_reconstructions(path, found, loaded)
        if not json:
            print(f"reconstructions in {out}")


@app.command()
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
        dataset = _load(data, say, format=format, label=label, seed=seed, **options)
        if warning := unlike_the_models(loaded, dataset):
            say(f"warning: {warning}")
    card = take(loaded, dataset, target, task=task)
    if json:
        print_json(card.to_dict())
    else:
        print(f"{loaded.family} in {model}, {card}")


@app.command()
def inspect(
    data: give.Data,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    image_size: give.ImageSize = None,
    json: give.Json = False,
) -> None:
    """Say what is in the data and what is wrong."""
    dataset = _load(
        data, teller(quiet=True), format=format, label=label, image_size=image_size, seed=seed
    )
    if json:
        from depthwise.choosing.evidence import dataset_record

        print_json({**dataset_record(dataset), "source": dataset.source})
        return
    print(dataset.summary() + ("" if dataset.problems else "\n\n  nothing wrong was found"))


@app.command()
def devices(json: give.Json = False) -> None:
    """List the known devices, this machine first."""
    from depthwise.measuring.devices import catalog, find

    listed = [find("this"), *catalog().values()]
    if json:
        print_json([device.to_dict() for device in listed])
        return
    from depthwise.tables import console, print_devices

    print_devices(listed, console())


# -- shared ------------------------------------------------------------------------------------


def _load(
    data: str, tell: Callable[[str], None], *, image_size: str | None = None, **options: Any
) -> Dataset:
    """The data, and on stderr how much of it there is and what was noticed."""
    from depthwise.data.load import load

    dataset = load(data, image_size=image_side(image_size), **options)
    counts = {part: len(places) for part, places in dataset.indices.items()}
    tell(f"{dataset.name}: {', '.join(f'{part} {n:,}' for part, n in counts.items())}")
    for problem in dataset.problems:
        tell(f"noticed {problem}")
    return dataset


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit; errors are one line on stderr, a traceback only with --debug."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    edge.survive_any_name()
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        try:
            app([argument for argument in given if argument != "--debug"], prog_name="depthwise")
        except Exception as error:
            if debug:
                raise
            edge.fail(error)
    sys.exit(0)

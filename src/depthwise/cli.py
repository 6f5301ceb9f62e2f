"""The command line: a thin skin over the library's verbs, with the same names and arguments.

    depthwise choose DATA --max-latency-ms 2      which network to ship
    depthwise fit DATA --family cnn --out DIR     train one
    depthwise predict MODEL FILE...               ask it
    depthwise measure MODEL                       its six metrics
    depthwise inspect DATA                        what is in the data, and what is wrong with it
    depthwise devices                             what there is to choose for

Results go to stdout and all else to stderr; `--json` makes the results machine-readable. Exit
codes: 0; 2 bad input; 3 nothing fits; 4 training diverged; 130 Ctrl-C. Nothing heavy is imported
until a command needs it.
"""

from __future__ import annotations

import json as json_text
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

Data = Annotated[str, typer.Argument(help="Folder, file, archive, or a name such as digits.")]
Model = Annotated[str, typer.Argument(help="Folder that fit or choose (its best/) wrote.")]
Format = Annotated[str | None, typer.Option(help="folder, idx, cifar, npz or csv; else looked at.")]
Label = Annotated[str | None, typer.Option(help="Label column of a table.")]
ImageSize = Annotated[str | None, typer.Option(help="Pixels, 32 or HEIGHTxWIDTH.")]
Seed = Annotated[int, typer.Option(help="Of the split and the training.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable results on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
MaxLatency = Annotated[float | None, typer.Option(help="Largest median time for one item, ms.")]
MaxMemory = Annotated[float | None, typer.Option(help="Largest peak memory, MB.")]
MaxSize = Annotated[float | None, typer.Option(help="Largest weights, MB.")]
MaxEnergy = Annotated[float | None, typer.Option(help="Largest energy an item, mJ.")]
MaxPrice = Annotated[float | None, typer.Option(help="Largest price of the device, USD.")]
DeviceName = Annotated[str, typer.Option(help="this, a name from `depthwise devices`, or a TOML.")]


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
    data: Data,
    device: DeviceName = "this",
    max_latency_ms: MaxLatency = None,
    max_memory_mb: MaxMemory = None,
    max_size_mb: MaxSize = None,
    max_energy_mj: MaxEnergy = None,
    max_price_usd: MaxPrice = None,
    train_minutes: Annotated[float, typer.Option(help="Minutes for all training together.")] = 10.0,
    families: Annotated[str | None, typer.Option(help="Comma separated; else all.")] = None,
    seed: Seed = 0,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "depthwise-out",
    format: Format = None,
    label: Label = None,
    image_size: ImageSize = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the network to ship, and leave it ready to use.

    Builds every family at every size, drops what cannot keep the limits on the device before any
    training, trains the rest, and takes the most accurate. The report says why.
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
    from depthwise.tables import show_choice, stored_choice

    names = [name.strip() for name in families.split(",") if name.strip()] if families else None
    for name in names or []:
        find_family(name)
    tell = teller(quiet)
    target = find(device)
    dataset = _load(data, tell, format=format, label=label, image_size=image_size, seed=seed)
    try:
        record = choose_network(
            dataset,
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
    data: Data,
    family: Annotated[str, typer.Option(help="cnn, dnn, logistic or boosting.")],
    out: Annotated[str, typer.Option(help="Folder of the model; the same one resumes.")],
    size: Annotated[str | None, typer.Option(help="A rung of its ladder: xxs .. xl.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Items a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Seed = 0,
    format: Format = None,
    label: Label = None,
    image_size: ImageSize = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one network; the same command resumes.

    A run that was killed goes on where it was; a finished one tells its result again.
    """
    require_folder(out)
    from depthwise.progress import ConsoleProgress
    from depthwise.ship.fitting import fit_in, make_model

    settings = {"size": size, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    model = make_model(family, {**settings, "random_state": seed})
    dataset = _load(
        data,
        teller(quiet),
        format=format,
        label=label,
        image_size=image_size,
        seed=seed,
    )
    if quiet:
        done = fit_in(Path(out), dataset, model)
    else:
        with ConsoleProgress(f"{family}-{size}" if size else family) as bar:
            done = fit_in(Path(out), dataset, model, watch=bar)
    if json:
        accuracy = done.accuracy.to_dict() if done.accuracy else None
        print_json({"model": out, "how": done.how, "accuracy": accuracy})
    elif done.accuracy:
        already = " (finished before; nothing was trained)" if done.how == "finished before" else ""
        from depthwise.ship.figures import accuracy_line
        from depthwise.tables import console, write

        screen = console()
        write(screen, f"test accuracy  {accuracy_line(done.accuracy.to_dict())}{already}")
        write(screen, f"model          {out}")
    if done.how == "interrupted":
        say(f"interrupted: the best so far is in {out}; repeat the command to go on")
        raise typer.Exit(INTERRUPTED)


@app.command()
def predict(
    model: Model,
    files: Annotated[list[str], typer.Argument(help="Pictures, or .npy, .npz, .csv of items.")],
    top: Annotated[int, typer.Option(help="Classes to tell, the likeliest first.", min=1)] = 1,
    json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """Tell the class of each file, or of its rows."""
    from depthwise.catalog import load_model
    from depthwise.ship.reading import predictions

    told = list(predictions(load_model(model), files, top, say))
    errors = [entry for entry in told if isinstance(entry, InputError)]
    found = [entry for entry in told if not isinstance(entry, InputError)]
    if json:
        for entry in found:
            print(json_text.dumps(entry.to_dict()))
    elif found:
        from depthwise.tables import console, print_predictions

        print_predictions(found, console())
    for error in errors:
        say(f"error: {error}")
    if errors:
        raise typer.Exit(InputError.exit_code)


@app.command()
def measure(
    model: Model,
    data: Annotated[str | None, typer.Option(help="Data whose test part gives accuracy.")] = None,
    device: DeviceName = "this",
    seed: Seed = 0,
    format: Format = None,
    label: Label = None,
    json: Json = False,
) -> None:
    """Take the six metrics of a model on a device.

    Accuracy is taken where data is given, on its test part; the rest in any case.
    """
    from depthwise.catalog import load_model
    from depthwise.measuring.devices import find
    from depthwise.measuring.scorecard import measure as take
    from depthwise.ship.reading import as_the_model_takes, unlike_the_models

    loaded, target = load_model(model), find(device)
    dataset = None
    if data is not None:
        options = as_the_model_takes(loaded)
        dataset = _load(data, say, format=format, label=label, seed=seed, **options)
        if warning := unlike_the_models(loaded, dataset):
            say(f"warning: {warning}")
    card = take(loaded, dataset, target)
    if json:
        print_json(card.to_dict())
    else:
        print(f"{loaded.family} in {model}, {card}")


@app.command()
def inspect(
    data: Data,
    seed: Seed = 0,
    format: Format = None,
    label: Label = None,
    image_size: ImageSize = None,
    json: Json = False,
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
def devices(json: Json = False) -> None:
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

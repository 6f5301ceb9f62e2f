"""The command that makes a model smaller: `shrink`."""

from __future__ import annotations

from typing import Annotated

import typer

from depthwise.commands import edge
from depthwise.commands import options as give
from depthwise.commands.edge import load_told, print_json, teller
from depthwise.host import require_folder

__all__ = ["shrink"]


def shrink(
    model: give.Model,
    data: Annotated[str, typer.Option(help="The data that it was fitted on.")],
    out: Annotated[str, typer.Option(help="Folder of the results; the same one resumes.")],
    device: give.DeviceName = "this",
    max_size_mb: Annotated[
        float | None, typer.Option(help="Largest file that it runs from, MB.")
    ] = None,
    max_latency_ms: give.MaxLatency = None,
    max_energy_mj: give.MaxEnergy = None,
    max_memory_mb: give.MaxMemory = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="Largest loss on validation, a share such as 0.002.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Minutes for all training together.")] = 10.0,
    seed: give.Seed = 0,
    format: give.Format = None,
    label: give.Label = None,
    text_columns: give.TextColumns = None,
    json: give.Json = False,
    quiet: give.Quiet = False,
) -> None:
    """Make a trained model keep limits, at the least loss of accuracy.

    Tries, as far as the limits ask: weights in 8 or 4 bits, whole numbers, other runtimes, early
    exits; then fewer channels, a smaller network taught by this one, and layers of low rank. All
    that was tried is in shrink.json, the winner in best/.
    """
    limits = {"size_mb": max_size_mb, "latency_ms": max_latency_ms, "energy_mj": max_energy_mj}
    limits |= {"memory_mb": max_memory_mb}
    for name, value in limits.items():
        edge.require_positive(f"--max-{name.replace('_', '-')}", value)
    edge.require_positive("--minutes", minutes)
    require_folder(out)
    from depthwise.catalog import load_model
    from depthwise.inference.input_files import as_the_model_takes
    from depthwise.measuring.quality import reading_for
    from depthwise.shrinking.shrink import shrink as make_smaller

    loaded, tell = load_model(model), teller(quiet)
    options = {**as_the_model_takes(loaded), **reading_for(loaded)}
    options |= {"format": format, "label": label, "text_columns": text_columns}
    dataset = load_told(data, tell, seed=seed, **options)
    done = make_smaller(
        loaded,
        dataset,
        **{f"max_{name}": value for name, value in limits.items()},
        max_accuracy_drop=max_accuracy_drop,
        device=device,
        minutes=minutes,
        seed=seed,
        out=out,
        watch=tell,
    )
    if json:
        print_json(done.record)
        return
    print(done)
    print(f"model   {out}/best")

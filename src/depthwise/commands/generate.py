"""Commands that write: `generate`."""

from __future__ import annotations

from typing import Annotated

import typer

from depthwise.commands import options as give
from depthwise.commands.edge import print_json
from depthwise.errors import InputError

__all__ = ["generate"]


def generate(
    model: give.Model,
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    temperature: Annotated[
        float, typer.Option(help="0: always the likeliest; 1: as it was learnt; above: wilder.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option(help="Share of the probability that is drawn from, up to 1.")
    ] = 0.95,
    stop: Annotated[
        list[str] | None, typer.Option(help="Text that ends it, not written; repeatable.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="At most so many.")] = 500,
    seed: Annotated[int, typer.Option(help="Another one writes another text.")] = 0,
    json: give.Json = False,
) -> None:
    """Write on, as a language model was taught to; the text appears as it is written.

    The same seed writes the same text.
    """
    from depthwise.catalog import load_model

    loaded = load_model(model)
    if loaded.writer is None:
        raise InputError(
            f"a {loaded.family} cannot write: give a model of the family language "
            "(depthwise fit TEXT --family language)."
        )
    pieces = loaded.writer.generate(
        prompt,
        temperature=temperature,
        top_p=top_p,
        stop=stop or (),
        max_tokens=max_tokens,
        seed=seed,
    )
    if json:
        print_json({"prompt": prompt, "text": "".join(pieces), "seed": seed})
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()

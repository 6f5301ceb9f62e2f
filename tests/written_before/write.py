"""Writes the models, results and answers that later versions have to read: `written_before/NAME/`.

    python tests/written_before/write.py 0.1

makes a folder for this version, and is run once for it, by the version itself; what a version wrote
is never written again by a later one, or there would be nothing left to test. A folder NAME holds

    model/       what `save` writes; a file of more than 100 kB as .gz
    asked.npz    "items": the items asked about; texts and pairs of them as an array of strings
    answers.npz  what the model said of them, by method (`every_model.Example.answers`)

and `choice/` what `choose` wrote, without the report, which no code reads.

Tables by a hash are of a fixed size, megabytes of rows that tiny data never touch. Of such a table
only the rows that the items use are kept, the others set to zero: the answers are the same, the
hash is still under test, and the file packs into some kilobytes. The weights of other large models
are rounded to bfloat16 before anything is asked: as float32 they are as good as any, and pack into
half.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from every_model import EXAMPLES, NETWORK, Answers, Example, labelled_images, of_classes, texts

ITEMS = 3
PACKED = 100_000  # bytes: what is larger is made easy to pack, and packed


def write(folder: Path, model: Any, items: Any, answers: Callable[[Any, Any], Answers]) -> None:
    """A fitted model, what it is asked, and what it says."""
    folder.mkdir(parents=True)
    if isinstance(items, dict):  # columns of a data frame
        (folder / "asked.json").write_text(json.dumps(items))
        items = frame(items)
    else:
        np.savez_compressed(folder / "asked.npz", items=np.asarray(items))
    make_packable(model.network_, lambda: answers(model, items))
    said = answers(model, items)
    np.savez_compressed(folder / "answers.npz", **said)
    model.save(folder / "model")
    for path in (folder / "model").iterdir():
        path.chmod(0o644)
        if path.stat().st_size > PACKED:
            packed = gzip.compress(path.read_bytes(), 9, mtime=0)
            path.with_name(path.name + ".gz").write_bytes(packed)
            path.unlink()


def make_packable(network: nn.Module, ask: Callable[[], object]) -> None:
    """Round the weights of a large network, and zero the rows of large tables that `ask` does not
    look up."""
    if sum(weight.nbytes for weight in network.state_dict().values()) < PACKED:
        return
    for weight in network.parameters():
        weight.data = weight.data.bfloat16().float()
    used: dict[nn.Embedding, set[int]] = {}
    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Embedding) and module.weight.nbytes > PACKED:
            used[module] = set()
            hooks.append(
                module.register_forward_pre_hook(
                    lambda table, given: used[table].update(given[0].flatten().tolist())
                )
            )
    ask()
    for hook in hooks:
        hook.remove()
    for module, rows in used.items():
        kept = torch.zeros_like(module.weight.data)
        kept[sorted(rows)] = module.weight.data[sorted(rows)]
        module.weight.data = kept


def frame(columns: dict[str, list[Any]]) -> Any:
    import pandas

    return pandas.DataFrame(columns)


# -- besides one of each entry --------------------------------------------------------------------


def table(seed: int, n: int) -> tuple[dict[str, list[Any]], list[str]]:
    """Columns of numbers, names, dates and truths, with blanks in two of them."""
    rng = np.random.default_rng(seed)
    size = np.round(rng.normal(10, 3, n), 2)
    kind = rng.choice(["oak", "fir", "elm"], n)
    columns = {
        "size": [None if i % 7 == 3 else float(v) for i, v in enumerate(size)],
        "kind": [None if i % 5 == 4 else str(v) for i, v in enumerate(kind)],
        "planted": [f"20{10 + i % 9}-0{1 + i % 8}-11" for i in range(n)],
        "straight": [bool(v) for v in rng.random(n) < 0.5],
    }
    return columns, ["tall" if v > 10 else "short" for v in size]


def on_a_table(name: str) -> tuple[Any, Any, Any]:
    columns, labels = table(0, 60)
    model = EXAMPLES[name].make().fit(frame(columns), np.array(labels))
    return model, table(1, 9)[0], of_classes


def on_an_encoder() -> tuple[Any, Any, Any]:
    """Beside a tiny encoder in the folder we are in, so that the setting names no other place."""
    from made_encoder import made_encoder

    X, y = texts(0)
    model = EXAMPLES["text"].make(encoder=made_encoder(Path("encoder"))).fit(X, y)
    return model, texts(1)[0][:ITEMS], of_classes


def pruned() -> tuple[Any, Any, Any]:
    """Channels gone, layers in two, and weights in 8 bits."""
    from depthwise.shrinking.pruning import prune
    from depthwise.shrinking.storing import low_rank, store

    X, y = labelled_images(0)
    model = EXAMPLES["cnn"].make(width=6).fit(X, y)
    smaller = prune(model, X, np.unique(y, return_inverse=True)[1], share=0.5, rounds=1)
    return store(low_rank(smaller, 0.8), 8), labelled_images(1)[0][:ITEMS], of_classes


def in_whole_numbers() -> tuple[Any, Any, Any]:
    from depthwise.reshaping.quantise import quantise

    X, y = labelled_images(0)
    model = EXAMPLES["cnn"].make(width=4).fit(X, y)
    return quantise(model, X), labelled_images(1)[0][:ITEMS], of_classes


def leaving_early() -> tuple[Any, Any, Any]:
    from depthwise.shrinking.early_exits import add_exits

    X, y = labelled_images(0)
    model = EXAMPLES["dnn"].fit()
    places = np.unique(y, return_inverse=True)[1]
    model, _ = add_exits(model, X, places, (X, places))
    return model, labelled_images(1)[0][:ITEMS], of_classes


def by_onnx() -> tuple[Any, Any, Any]:
    from depthwise.runtimes.attached import best_runtime

    X = labelled_images(0)[0]
    model = EXAMPLES["cnn"].fit()
    best_runtime(model, X, seconds=0.5, candidates=[("onnxruntime", "fp32")])
    return model, labelled_images(1)[0][:ITEMS], of_classes


OTHERS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "boosting-table": lambda: on_a_table("boosting"),
    "tabular-table": lambda: on_a_table("tabular"),
    "text-encoder": on_an_encoder,
    "cnn-pruned": pruned,
    "cnn-int8": in_whole_numbers,
    "dnn-exits": leaving_early,
    "cnn-onnx": by_onnx,
}


def write_choice(folder: Path) -> None:
    """Some seconds of choosing on the digits, for a device of the catalogue: no figure of this
    machine is in the record."""
    from depthwise import Budget, choose
    from depthwise.data.load import load

    budget = Budget(size_mb=0.05, minutes=0.05)
    device = "raspberry-pi-5"
    choose(load("digits"), device=device, budget=budget, families=["logistic", "dnn"], out=folder)
    (folder / "report.html").unlink()


def one(example: Example) -> tuple[Any, Any, Any]:
    return example.fit(), example.items(ITEMS), example.answers


def main(version: str) -> None:
    here = Path(__file__).resolve().parent / version
    if here.exists():
        raise SystemExit(f"{here} is there already, and is never written again")
    rows = {name: lambda example=example: one(example) for name, example in EXAMPLES.items()}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DEPTHWISE_CACHE"] = scratch
        os.chdir(scratch)
        for name, make in {**rows, **OTHERS}.items():
            write(here / name, *make())
        write_choice(here / "choice")
        for path in (here / "choice").rglob("*"):
            if path.is_file():
                path.chmod(0o644)
    shutil.rmtree(here / "choice" / "work", ignore_errors=True)


if __name__ == "__main__":
    assert NETWORK["device"] == "cpu"
    main(sys.argv[1])

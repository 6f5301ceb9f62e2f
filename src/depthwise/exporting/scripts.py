"""A script that runs an exported file without depthwise, one a format.

    python run_onnx.py photo.jpg more.jpg    pictures of any size, for a model of pictures
    python run_onnx.py rows.csv              a table with the columns that were learnt from, or
    python run_onnx.py "5.1,3.5,red"         a row of them, for a model of tables
    python run_onnx.py items.npy             raw items (N, ...) as the file takes them, for any

It tells a line an item: its class, or the numbers. Pictures are read and resized, and cells
encoded, as a Dataset does it (script_inputs.py), with what the file itself holds about its columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from depthwise.exporting.places import Place
from depthwise.exporting.script_inputs import reading_of

__all__ = ["script_of"]


class _Way(NamedTuple):
    """The script's name, what it needs, how it loads {file} and {about}, and how it asks."""

    script: str
    needs: str
    load: str
    run: str


_WAYS = {
    "onnx": _Way(
        "run_onnx.py",
        "onnxruntime",
        """import onnxruntime
file = str(Path(__file__).with_name({file!r}))
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["about"])
""",
        'answers = session.run(None, {"inputs": items})[0]',
    ),
    "torch-export": _Way(
        "run_torch.py",
        "torch",
        """import torch
kept = {{"about.json": ""}}
network = torch.export.load(Path(__file__).with_name({file!r}), extra_files=kept).module()
about = json.loads(kept["about.json"])
""",
        "answers = network(torch.from_numpy(items)).detach().numpy()",
    ),
    "openvino": _Way(
        "run_openvino.py",
        "openvino",
        """import openvino
model = openvino.Core().read_model(Path(__file__).with_name({file!r}))
about = json.loads(model.get_rt_info("about").astype(str))
network = openvino.compile_model(model, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
""",
        "answers = network(items)[0]",
    ),
    "executorch": _Way(
        "run_executorch.py",
        "executorch",
        """import torch
from executorch.runtime import Runtime
here = Path(__file__).parent
method = Runtime.get().load_program(here / {file!r}).load_method("forward")
about = json.loads((here / {about!r}).read_text())
""",
        "answers = [method.execute([torch.from_numpy(i[None])])[0][0].numpy() for i in items]",
    ),
}

_FIRST = '''"""Run {file} on {takes}: python {script} {example}   (needs {needs})"""
import json, sys
from pathlib import Path
import numpy as np
'''

_LAST = """if len(sys.argv) < 2:
    sys.exit(__doc__)
for argument in sys.argv[1:]:
    items = {read}.astype(about["input_dtype"])  # (N, *about["input_shape"])
    {run}
    for row in answers:
        told = about["classes"] and row.shape == (len(about["classes"]),)
        numbers = row.tolist() if row.size > 1 else row.item()
        answer = about["classes"][{place}] if told else numbers
        print(*([argument] if len(sys.argv) > 2 else []), answer)
"""


def script_of(place: Place, files: tuple[str, ...], about: Mapping[str, Any]) -> tuple[str, str]:
    """The script's name and its text, for the files of a format that lie in `place`; about: what
    the file holds about its model."""
    way, names = _WAYS[place.to], [place.of(name).name for name in files]
    script = way.script if place.stem == "model" else f"run_{place.stem}.py"
    inputs = reading_of(about)
    head = _FIRST.format(
        file=_harmless(names[0]), takes=_harmless(inputs.takes), script=_harmless(script),
        example=inputs.example,
        needs=", ".join(["numpy", way.needs, *inputs.needs]),
    )  # fmt: skip
    load = way.load.format(file=names[0], about=names[-1])
    last = _LAST.format(read=inputs.call, run=way.run, place=_place(about))
    return script, head + load + inputs.code + last


def _place(about: Mapping[str, Any]) -> str:
    """Python code for the class of a row of logits: the likeliest, or the second from a probability
    t on, that is where its logit leads by log(t / (1 - t))."""
    threshold = about.get("decision_threshold")
    if threshold is None:
        return "row.argmax()"
    return f"int(row[1] - row[0] >= {math.log(threshold / (1 - threshold))!r})"


def _harmless(text: str) -> str:
    """Names within a script's own text, which must not end it."""
    return "".join("?" if ch in '"\\' or not ch.isprintable() else ch for ch in text)

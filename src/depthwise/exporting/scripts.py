"""Ten lines that run an exported file without depthwise, one script a format.

    python run_onnx.py items.npy        a line an item: its class, or the numbers

items.npy holds raw items (N, C, H, W) or (N, D): pixels 0..255, or columns as they came.
"""

from __future__ import annotations

__all__ = ["SCRIPTS"]

_FIRST = '''"""Run {file} on raw items: python {script} items.npy   (needs numpy and {needs})"""
import json, sys
from pathlib import Path
import numpy as np
'''

_LAST = """items = np.load(sys.argv[1]).astype(about["input_dtype"])  # (N, *about["input_shape"])
{run}
for row in answers:
    print(about["classes"][row.argmax()] if about["classes"] else row.tolist())
"""


def _script(file: str, script: str, needs: str, load: str, run: str) -> str:
    return _FIRST.format(file=file, script=script, needs=needs) + load + _LAST.format(run=run)


SCRIPTS: dict[str, tuple[str, str]] = {
    "onnx": (
        "run_onnx.py",
        _script(
            "model.onnx",
            "run_onnx.py",
            "onnxruntime",
            """import onnxruntime
file = str(Path(__file__).with_name("model.onnx"))
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["about"])
""",
            'answers = session.run(None, {"inputs": items})[0]',
        ),
    ),
    "torch-export": (
        "run_torch.py",
        _script(
            "model.pt2",
            "run_torch.py",
            "torch",
            """import torch
kept = {"about.json": ""}
network = torch.export.load(Path(__file__).with_name("model.pt2"), extra_files=kept).module()
about = json.loads(kept["about.json"])
""",
            "answers = network(torch.from_numpy(items)).detach().numpy()",
        ),
    ),
    "openvino": (
        "run_openvino.py",
        _script(
            "model.xml",
            "run_openvino.py",
            "openvino",
            """import openvino
model = openvino.Core().read_model(Path(__file__).with_name("model.xml"))
about = json.loads(model.get_rt_info("about").astype(str))
network = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
""",
            "answers = network(items)[0]",
        ),
    ),
    "executorch": (
        "run_executorch.py",
        _script(
            "model.pte",
            "run_executorch.py",
            "executorch",
            """import torch
from executorch.runtime import Runtime
here = Path(__file__).parent
method = Runtime.get().load_program(here / "model.pte").load_method("forward")
about = json.loads((here / "about.json").read_text())
""",
            "answers = [method.execute([torch.from_numpy(i[None])])[0][0].numpy() for i in items]",
        ),
    ),
}

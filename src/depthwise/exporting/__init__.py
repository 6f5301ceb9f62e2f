"""The export floor: a fitted model as a file that other programs run.

formats.py   what can be written: ONNX, torch.export, OpenVINO, ExecuTorch
scripts.py   the ten lines that run such a file without depthwise
export.py    write, check on samples, and only then leave it there
"""

from depthwise.exporting.export import Exported, export
from depthwise.exporting.formats import FORMATS

__all__ = ["FORMATS", "Exported", "export"]

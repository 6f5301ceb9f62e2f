"""The export floor: a fitted model as a file that other programs run.

export_formats.py   what can be written: ONNX, torch.export, OpenVINO, ExecuTorch
places.py           a folder, or the very file that is asked for
scripts.py          the script that runs such a file without depthwise, on photos and rows too
export.py           write, check on samples, and only then leave it there
"""

from depthwise.exporting.export import Exported, export
from depthwise.exporting.export_formats import FORMATS

__all__ = ["FORMATS", "Exported", "export"]

"""Import this before a framework that imports torchvision, where torchvision's compiled part is
built for another torch: naming the two operators it would register lets its Python part load.
They are never called here. For measuring only.
"""

import torch

try:
    import torchvision  # noqa: F401
except (RuntimeError, ImportError):
    operators = torch.library.Library("torchvision", "FRAGMENT")
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

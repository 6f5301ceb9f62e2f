"""Items a second that a network answers, by how many are given at once: why pictures are answered
in small batches (`depthwise.models.estimator`).

    python benchmarks/promises/predict_batches.py
"""

from __future__ import annotations

import time

import torch

from depthwise import CNN, ImageClassifier
from depthwise.models.estimator import BATCH_NUMBERS, LEAST_BATCH

BATCHES = (512, 128, 64, 32, 16, 8)
ROWS = [
    (CNN(size="xxs"), (1, 28, 28)),
    (CNN(size="s"), (1, 28, 28)),
    (CNN(size="l"), (1, 28, 28)),
    (CNN(size="m"), (3, 32, 32)),
    (CNN(size="s"), (3, 128, 128)),
    (ImageClassifier(backbone="efficientnet-lite0"), (3, 96, 96)),
]


@torch.inference_mode()
def rate(network: torch.nn.Module, x: torch.Tensor, batch: int) -> float:
    """Items a second, the better of two runs."""

    def run() -> float:
        begun = time.perf_counter()
        for start in range(0, len(x), batch):
            network(x[start : start + batch])
        return len(x) / (time.perf_counter() - begun)

    return max(run(), run())


def main() -> None:
    print("network, input          threads " + "".join(f"{batch:>9}" for batch in BATCHES))
    for model, shape in ROWS:
        network = model.build(shape, 10).eval()
        items = 512 if shape[1] > 90 else 2048  # several batches of each
        x = torch.randint(0, 256, (items, *shape), dtype=torch.uint8)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rates = "".join(f"{rate(network, x, batch):9,.0f}" for batch in BATCHES)
            size = getattr(model, "size", "")
            print(f"{model.family} {size} {shape!s:14} {threads:9} {rates}", flush=True)
    print(f"at least {LEAST_BATCH}, and {BATCH_NUMBERS:,} numbers of input at most")


if __name__ == "__main__":
    main()

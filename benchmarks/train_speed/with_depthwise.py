"""depthwise: the same network behind `Standardise`, raw uint8 pixels, one call of
`training.loop.train`.

Everything the library does by default is on, with the recipe's own figures: schedule, gradient
clipping, weight averaging, per-step seeding, the watch for divergence. Precision, memory layout
and threads are found by the library's own measurement, as in `fit`; `--threads` is the most it may
use.
"""

from argparse import Namespace
from typing import Any

import torch
from torch import Tensor, nn
from worker import BATCH, Bursts, accuracy, images_u8, main, small_cnn

from depthwise.compute import Compute, keep_freed_memory
from depthwise.data.inputs import statistics
from depthwise.families.cnn import CNN
from depthwise.layers import Standardise
from depthwise.losses import smoothed_cross_entropy
from depthwise.training.loop import train as train_network
from depthwise.training.step import GradientUpdate, Recipe, Update


class Stopping:
    """An update that stops between bursts."""

    def __init__(self, update: Update, bursts: Bursts):
        self.update, self.bursts = update, bursts

    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        loss = self.update(inputs, targets, progress)
        self.bursts.batch_done(len(inputs))
        return loss

    def state_dict(self) -> dict[str, Any]:
        return self.update.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.update.load_state_dict(state)


def train(options: Namespace, bursts: Bursts) -> float:
    torch.set_num_threads(options.threads)
    pixels, labels = images_u8(options.data, "train", options.images)
    standardise = Standardise(1, image=True)
    standardise.set_statistics(*statistics(pixels))
    network = nn.Sequential(standardise, small_cnn())
    x, y = torch.from_numpy(pixels), torch.from_numpy(labels)
    recipe = Recipe(epochs=options.epochs, batch_size=BATCH)
    compute = chosen_compute(network, x, y, recipe)
    update = GradientUpdate(compute.place(network), smoothed_cross_entropy, recipe, compute)
    bursts.ready(**compute.to_dict())
    train_network(network, Stopping(update, bursts), x, y, recipe, compute=compute)
    return accuracy(network, *images_u8(options.data, "t10k"))


def chosen_compute(network: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Compute:
    keep_freed_memory()
    estimator = CNN(batch_size=BATCH)
    estimator.network_ = network
    return estimator._choose_compute(x, y, recipe, smoothed_cross_entropy)


if __name__ == "__main__":
    main(train)

"""fastai: `Learner.fit` with its own DataLoaders and Adam, float32, no validation, no bar."""

from argparse import Namespace

import before_torchvision  # noqa: F401
import torch
from fastai.callback import progress  # noqa: F401  (adds no_bar to Learner)
from fastai.callback.core import Callback, CancelValidException
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import Adam
from worker import BATCH, LEARNING_RATE, Bursts, accuracy, images_standardised, main, small_cnn


class Stopping(Callback):
    def __init__(self, bursts: Bursts):
        self.bursts = bursts

    def after_batch(self) -> None:
        if self.training:
            self.bursts.batch_done(len(self.xb[0]))

    def before_validate(self) -> None:
        raise CancelValidException


def train(options: Namespace, bursts: Bursts) -> float:
    torch.set_num_threads(options.threads)
    x, y, x_test, y_test = images_standardised(options.data, options.images)
    items = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    loaders = DataLoaders.from_dsets(
        items, items, bs=BATCH, num_workers=0, device="cpu", drop_last=False
    )
    learner = Learner(loaders, small_cnn(), CrossEntropyLossFlat(), Adam, cbs=[Stopping(bursts)])
    bursts.ready()
    with learner.no_bar(), learner.no_logging():
        learner.fit(options.epochs, LEARNING_RATE)
    return accuracy(learner.model, x_test, y_test)


if __name__ == "__main__":
    main(train)

"""skorch: `NeuralNetClassifier.fit` on arrays in memory, Adam, float32, no validation split."""

from argparse import Namespace
from typing import Any

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from worker import BATCH, LEARNING_RATE, Bursts, accuracy, images_standardised, main, small_cnn


class Stopping(Callback):
    def __init__(self, bursts: Bursts):
        self.bursts = bursts

    def on_batch_end(self, net: Any, batch: Any, training: bool, **rest: Any) -> None:
        self.bursts.batch_done(len(batch[0]))


def train(options: Namespace, bursts: Bursts) -> float:
    torch.set_num_threads(options.threads)
    x, y, x_test, y_test = images_standardised(options.data, options.images)
    model = NeuralNetClassifier(
        small_cnn(),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=BATCH,
        max_epochs=options.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[Stopping(bursts)],
        verbose=0,
    )
    bursts.ready()
    model.fit(x, y)
    return accuracy(model.module_, x_test, y_test)


if __name__ == "__main__":
    main(train)

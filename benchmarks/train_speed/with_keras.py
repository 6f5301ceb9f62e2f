"""Keras 3 on its torch backend: `Model.fit` on arrays in memory, Adam, float32, channels-last."""

import os
from argparse import Namespace

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch
from keras import layers
from worker import BATCH, LEARNING_RATE, Bursts, images_standardised, main


class Stopping(keras.callbacks.Callback):
    """Keras does not say how many images a batch had: all are full but an epoch's last."""

    def __init__(self, bursts: Bursts, images: int):
        super().__init__()
        self.bursts, self.images = bursts, images

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.bursts.batch_done(min(BATCH, self.images - batch * BATCH))


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )


def train(options: Namespace, bursts: Bursts) -> float:
    torch.set_num_threads(options.threads)
    x, y, x_test, y_test = images_standardised(options.data, options.images)
    x, x_test = x.transpose(0, 2, 3, 1).copy(), x_test.transpose(0, 2, 3, 1).copy()
    keras.utils.set_random_seed(0)
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss)
    bursts.ready()
    stopping = Stopping(bursts, len(x))
    model.fit(x, y, batch_size=BATCH, epochs=options.epochs, callbacks=[stopping], verbose=0)
    logits = model.predict(x_test, batch_size=500, verbose=0)
    return float((logits.argmax(axis=1) == y_test).mean())


if __name__ == "__main__":
    main(train)

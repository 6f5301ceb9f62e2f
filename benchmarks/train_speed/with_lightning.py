"""Lightning: `Trainer.fit` over a DataLoader, Adam, float32, without logger, bar or checkpoints."""

from argparse import Namespace
from typing import Any

import before_torchvision  # noqa: F401
import lightning
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from worker import BATCH, LEARNING_RATE, Bursts, accuracy, images_standardised, main, small_cnn


class SmallCNN(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        images, labels = batch
        return cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), LEARNING_RATE)


class Stopping(lightning.Callback):
    def __init__(self, bursts: Bursts):
        self.bursts = bursts

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        self.bursts.batch_done(len(batch[0]))


def train(options: Namespace, bursts: Bursts) -> float:
    torch.set_num_threads(options.threads)
    x, y, x_test, y_test = images_standardised(options.data, options.images)
    items = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    model = SmallCNN()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=options.epochs,
        callbacks=[Stopping(bursts)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    bursts.ready()
    trainer.fit(model, DataLoader(items, BATCH, shuffle=True))
    return accuracy(model.network, x_test, y_test)


if __name__ == "__main__":
    main(train)

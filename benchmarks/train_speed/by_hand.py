"""Loops as one writes them in plain PyTorch.

dataloader    DataLoader(TensorDataset), float32: the tutorial's loop
adam          indexed in memory, channels-last, bf16 autocast
adam-fused    the same with torch.optim.Adam(fused=True)
fused-kept    that, and the C library told to keep freed memory, as an expert might
"""

import ctypes
from argparse import Namespace

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from worker import BATCH, LEARNING_RATE, Bursts, accuracy, images_standardised, main, small_cnn


def train(options: Namespace, bursts: Bursts) -> float:
    torch.set_num_threads(options.threads)
    x, y, x_test, y_test = images_standardised(options.data, options.images)
    network = small_cnn()
    loop = with_dataloader if options.variant == "dataloader" else in_memory
    loop(network, torch.from_numpy(x), torch.from_numpy(y), options, bursts)
    return accuracy(network, x_test, y_test)


def with_dataloader(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor, options: Namespace, bursts: Bursts
) -> None:
    loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    bursts.ready()
    for _ in range(options.epochs):
        for images, labels in loader:
            loss = cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bursts.batch_done(len(images))


def in_memory(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor, options: Namespace, bursts: Bursts
) -> None:
    network.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    fused = None if options.variant == "adam" else True
    if options.variant == "fused-kept":
        keep_freed_memory()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=fused)
    bursts.ready()
    for _ in range(options.epochs):
        for index in torch.randperm(len(x)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(network(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bursts.batch_done(len(index))


def keep_freed_memory() -> None:
    """glibc: M_MMAP_MAX (-4) = 0, M_TRIM_THRESHOLD (-1) = 2 GiB."""
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(-4, 0)
    libc.mallopt(-1, 2**31 - 1)


if __name__ == "__main__":
    main(train)

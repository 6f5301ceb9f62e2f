"""Real digits and two models that have learnt them, for all tests of shrinking."""

from __future__ import annotations

import numpy as np
import pytest

from depthwise import CNN, DNN
from depthwise.data.dataset import Dataset
from depthwise.data.load import load


@pytest.fixture(scope="session")
def data() -> Dataset:
    return load("digits", cache=False)


@pytest.fixture(scope="session")
def parts(data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and validation images, and their class indices."""
    return *data.train, *data.validation


@pytest.fixture(scope="session")
def cnn(data: Dataset) -> CNN:
    return CNN(size="xs", epochs=8, augment=None, threads=1).fit(data)


@pytest.fixture(scope="session")
def dnn(data: Dataset) -> DNN:
    return DNN(hidden=(48, 33), epochs=15, threads=1).fit(data)

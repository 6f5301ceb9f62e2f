"""The shared real sets, against what their README counts."""

import time

import numpy as np
import pytest

from depthwise.data.load import load


def test_mnist_is_read_as_published(real):
    data = load(real("mnist"), cache=False)
    assert data.inputs.shape == (70_000, 1, 28, 28) and data.classes == [str(k) for k in range(10)]
    train = data.inputs[:60_000] / np.float32(255)
    assert abs(train.mean() - 0.13066) < 1e-5 and abs(train.std() - 0.30811) < 1e-5
    assert data.indices["test"].tolist() == list(range(60_000, 70_000))
    assert len(data.indices["validation"]) == 9_000


def test_mnists_ones_are_not_taken_for_copies(real):
    assert [p for p in load(real("mnist")).problems if "duplicate" in p.kind] == []


def test_the_second_start_is_instant(real):
    load(real("mnist"))
    start = time.process_time()
    load(real("mnist"))
    assert time.process_time() - start < 0.3


@pytest.mark.timeout(120)
def test_cifar_10_in_a_zip_is_read_as_counted(real, monkeypatch):
    monkeypatch.setenv("DEPTHWISE_DATA", str(real("cifar10/cifar10-jpeg.zip").parents[1]))
    data = load("cifar10")
    assert data.inputs.shape == (60_000, 3, 32, 32) and len(data.classes) == 10
    assert data.counts()["test"].tolist() == [1_000] * 10
    train = np.concatenate([data.indices["train"], data.indices["validation"]])
    means = data.inputs[np.sort(train)].mean((0, 2, 3)) / 255
    assert np.abs(means - [0.4913, 0.4821, 0.4465]).max() < 1e-4


def test_fashion_mnist_has_its_known_copies():
    from pathlib import Path

    if not Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    data = load("fashion-mnist")
    assert data.counts()["test"].tolist() == [1_000] * 10 and data.classes[0] == "T-shirt/top"
    assert any(p.kind == "same item in two parts" for p in data.problems)


def test_other_archives_of_the_shelf_are_refused_or_read_but_never_fail_oddly(real):
    from depthwise.errors import DataError

    with pytest.raises(DataError):
        load(real("sentence-pairs.zip"), cache=False)
    prose = load(real("language-modelling.zip"), cache=False)
    assert prose.task == "language"
    assert sum(map(len, prose.test.X)) > 1_000_000  # wikitext's, and the end of Shakespeare's

"""A classifier fitted on a Dataset takes labels by name and by the Dataset's indices."""

from pathlib import Path

import numpy as np
import pytest

import depthwise
from depthwise import DNN, InputError, load_data
from every_model import EXAMPLES, Example

CLASSIFIERS = ["boosting", "cnn", "dbm", "dnn", "dsn", "faces", "logistic", "tfidf", "video"]
NAMES = np.array(["9", "10", "2"])  # whose order as numbers is not their order as texts


def dataset_of(row: Example, folder: Path) -> depthwise.Dataset:
    X, y = row.data(0)
    labels = NAMES[np.unique(y, return_inverse=True)[1]].astype(int).repeat(3)
    if not isinstance(X[0], str):
        return load_data((X.repeat(3, axis=0), labels))
    lines = [f"{text} {i},{label}" for i, (text, label) in enumerate(zip(np.repeat(X, 3), labels))]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]))
    return load_data(folder / "texts.csv")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_indices_score_as_their_names_do(name, tmp_path):
    row = EXAMPLES[name]
    data = dataset_of(row, tmp_path)
    assert len(data.classes) == 2 or data.classes != sorted(data.classes)
    model = row.make(random_state=0).fit(data)
    X, y = data.test
    by_hand = np.mean(model.predict(X) == np.array(data.classes)[y])
    again = depthwise.load(model.save(tmp_path / "model"))
    for fitted in (model, again):
        assert fitted.score(X, y) == fitted.score(X, np.array(data.classes)[y]) == by_hand


def fitted(X, y):
    return DNN(size="xxs", epochs=1, threads=1).fit(X, y)


def test_numbers_are_no_names_where_no_dataset_said_so():
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    with pytest.raises(InputError, match=r"Give names: np.array\(data.classes\)\[y\]"):
        fitted(X, np.array(["no", "yes"])[y]).score(X, y)
    assert 0 <= fitted(X, y + 5).score(X, y + 5) <= 1  # labels that are numbers stay what they are


def test_an_index_beyond_the_classes_is_an_error():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.array(["no", "yes"])[np.arange(40) % 2]
    model = DNN(size="xxs", epochs=1, threads=1).fit(load_data((X, y)))
    with pytest.raises(InputError, match="y holds numbers"):
        model.score(X[:2], [0, 2])

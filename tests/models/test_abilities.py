"""Every entry of the catalogue says what it can do, and has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from tests.every_model import EXAMPLES, Example

from depthwise.catalog import FAMILIES, TASKS
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.families.rbm import RBM
from depthwise.models.generative import Generative
from depthwise.models.supervised import Classifier, Regressor
from depthwise.task import TASKS as ROWS

ABILITIES = {
    "finder": ("predict",),
    "recognizer": ("enroll", "forget", "identify", "similarities", "similarity"),
    "searcher": ("encode_images", "encode_texts", "search"),
    "writer": ("generate",),
    "teacher": ("soft_answers",),
}
ALL = [*FAMILIES.values(), *TASKS.values()]


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.family)
def test_a_model_has_the_methods_of_what_it_says_it_can_do_and_no_others(make: Any) -> None:
    model = make()
    for name, methods in ABILITIES.items():
        able = getattr(model, name)
        assert able is None or able is model
        if name != "finder":  # others predict too
            assert (able is not None) == all(hasattr(model, method) for method in methods)


def test_who_can_do_what() -> None:
    able = {name: [m.family for m in ALL if getattr(m(), name)] for name in ABILITIES}
    assert able == {
        "finder": ["detector", "counter"],
        "recognizer": ["faces"],
        "searcher": ["image-text"],
        "writer": ["language"],
        "teacher": ["image-classifier"],
    }


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.family)
def test_an_unfitted_model_knows_no_classes_and_has_no_attribute_of_a_fitted_one(make: Any) -> None:
    model = make()
    assert not model.is_fitted
    assert model.known_classes is None
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "network_")
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.family)
def test_its_tasks_are_rows_of_the_table_and_its_answer_is_theirs(make: Any) -> None:
    assert [row.name for row in make.task_rows()] == list(make.tasks)
    own = [row for row in make.task_rows() if row.data]
    if own:
        assert make().answer == ROWS[make.tasks[0]].answer
    else:
        assert issubclass(make, Classifier | Regressor | Generative)


def test_a_model_of_the_data_answers_with_a_score_or_with_a_class_once_it_has_learnt_labels() -> (
    None
):
    X = np.random.default_rng(0).random((40, 6))
    alone = RBM(epochs=1, sizes=None) if "sizes" in RBM().get_params() else RBM(epochs=1)
    alone.fit(X)
    assert (alone.answer, alone.predictor, alone.gives_logits) == ("score", None, False)


def test_labels_make_classes_and_logits() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (30, 1, 8, 8), dtype=np.uint8)
    model = CNN(size="xxs", epochs=1).fit(pictures, np.array(["b", "a", "c"])[np.arange(30) % 3])
    assert model.is_fitted
    assert model.known_classes is not None
    assert model.known_classes.tolist() == ["a", "b", "c"]
    assert (model.answer, model.predictor, model.gives_logits) == ("class", model, True)
    with pytest.raises(InputError, match="CNN has no measure of its own"):
        model.assess(pictures, None)


@pytest.mark.parametrize("name", ["text", "tfidf", "sentences", "language"])
def test_texts_are_prepared_as_tokens(name: str) -> None:
    example: Example = EXAMPLES[name]
    model = example.fit()
    tokens = model.prepare(example.items(3))
    assert tokens.dtype == np.int64
    assert tokens.shape[1:-1] == model.input_shape_[:-1]

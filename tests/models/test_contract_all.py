"""One contract for every entry of the catalogue, whatever its task: tiny models of `every_model`.

What only classifiers of images promise, and what has to have learnt something, is in
test_contract.py; what a task promises besides, in its own tests.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone

import depthwise
import depthwise.training.loop as training
from depthwise.catalog import FAMILIES, TASKS
from depthwise.errors import ModelFileError
from every_model import EXAMPLES, VARIANTS, Answers, Example

ALL = {**EXAMPLES, **VARIANTS}
# entries in which nothing is drawn that a model depends on
DRAW_NOTHING = {"mean", "linear", "logistic", "tfidf", "boosting", "boosting_regressor"}
KILLED_AT = (0.2, 0.5, 0.9)  # of the way, one after another


@pytest.fixture(params=ALL)
def example(request: pytest.FixtureRequest) -> Example:
    return ALL[request.param]


@pytest.fixture(scope="module")
def fitted() -> Callable[[Example], Any]:
    """The fitted model of an example, one for the whole file: whoever changes it takes a copy."""
    known: dict[str, Any] = {}

    def find(example: Example) -> Any:
        key = f"{example.name} {example.what}"
        if key not in known:
            known[key] = example.fit()
            everything(example, known[key])  # what is computed when it is first asked for is there
        return known[key]

    return find


class Killed(Exception):
    """In place of a process that ends."""


def same(a: Answers, b: Answers) -> bool:
    """Whether they are, bit for bit."""
    return a.keys() == b.keys() and all(
        np.array_equal(a[key], b[key]) and a[key].dtype.kind == b[key].dtype.kind for key in a
    )


def everything(example: Example, model: Any) -> Answers:
    """All that a model answers, what it draws included."""
    items = example.items()
    return {**example.answers(model, items), **example.drawn(model, items)}


def told_of_epochs(model: Any) -> list[dict[str, Any]]:
    return [{**record, "seconds": None} for record in model.history_["epochs"]]


def same_weights(a: Any, b: Any) -> bool:
    one, other = a.network_.state_dict(), b.network_.state_dict()
    return one.keys() == other.keys() and all(
        torch.equal(one[key].nan_to_num(), other[key].nan_to_num()) for key in one
    )


def test_every_entry_has_an_example_here() -> None:
    assert set(EXAMPLES) == {*FAMILIES, *TASKS}


def test_an_entry_is_named_as_in_the_catalogue(example: Example) -> None:
    assert type(example.make()).family == example.name


# -- the constructor ------------------------------------------------------------------------------


def test_the_constructor_stores_its_arguments_unchanged(example: Example) -> None:
    model = example.make()
    assert example.settings.items() <= model.get_params().items()
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_clone_has_the_same_settings_and_nothing_learnt(
    example: Example, fitted: Callable[[Example], Any]
) -> None:
    model = fitted(example)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]


def test_settings_that_are_read_can_be_set(example: Example) -> None:
    told = example.make().get_params()
    assert type(example.make())().set_params(**told).get_params() == told
    with pytest.raises(ValueError, match="no_such_setting"):
        example.make().set_params(no_such_setting=1)


# -- fitting --------------------------------------------------------------------------------------


def test_the_same_seed_twice_is_the_same_model_and_global_seeds_are_left_alone(
    example: Example, fitted: Callable[[Example], Any]
) -> None:
    fitted(example)
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    again = example.fit()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    assert same(everything(example, fitted(example)), everything(example, again))
    assert same_weights(fitted(example), again)


def test_another_seed_is_another_model_and_fit_leaves_settings_alone(
    example: Example, fitted: Callable[[Example], Any]
) -> None:
    if example.name in DRAW_NOTHING:
        pytest.skip("draws nothing")
    other = example.make(random_state=1)
    before = other.get_params()
    assert other.fit(*example.data(0)) is other
    assert other.get_params() == before
    assert not same_weights(fitted(example), other)


def test_history_says_what_happened(example: Example, fitted: Callable[[Example], Any]) -> None:
    history = fitted(example).history_
    assert history["epochs"] and history["stopped"] == "finished" and history["seconds"] >= 0
    json.dumps(history, allow_nan=False)


def test_a_watcher_and_callbacks_are_told_and_change_nothing(
    example: Example, fitted: Callable[[Example], Any]
) -> None:
    told: dict[str, list[Any]] = {"watch": [], "callback": []}
    model = example.fit(watch=told["watch"].append, callbacks=[told["callback"].append])
    assert told["watch"] and told["watch"] == told["callback"]
    assert same(everything(example, model), everything(example, fitted(example)))
    assert same_weights(model, fitted(example))


def test_killed_then_resumed_is_as_never_killed(
    example: Example,
    fitted: Callable[[Example], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of entries that say that they resume; the others learn in one go and leave no file."""
    whole, run = fitted(example), tmp_path / "run.safetensors"
    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)
    if not whole.resumes:
        assert same_weights(example.fit(checkpoint=run), whole)
        assert not list(tmp_path.iterdir())
        return

    for share in KILLED_AT:

        def kill(event: Any, epoch: float = share * whole.history_["epochs"][-1]["epoch"]) -> None:
            if event.epoch >= epoch:
                raise Killed

        with pytest.raises(Killed):
            example.fit(checkpoint=run, watch=kill)
        assert list(tmp_path.iterdir())
    resumed = example.fit(checkpoint=run)
    assert same(everything(example, resumed), everything(example, whole))
    assert same_weights(resumed, whole)
    assert resumed.history_["steps"] == whole.history_["steps"]
    assert told_of_epochs(resumed) == told_of_epochs(whole)


def test_other_settings_or_data_do_not_take_up_a_checkpoint(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not example.make().resumes:
        pytest.skip("learns in one go")
    run = tmp_path / "run.safetensors"

    def kill(event: Any) -> None:
        raise Killed

    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)
    with pytest.raises(Killed):
        example.fit(checkpoint=run, watch=kill)
    with pytest.raises(ModelFileError, match="other data or settings"):
        example.make(random_state=5).fit(*example.data(0), checkpoint=run)
    with pytest.raises(ModelFileError, match="other data or settings"):
        example.make().fit(*example.data(1), checkpoint=run)


# -- answers --------------------------------------------------------------------------------------


def test_a_batch_answers_as_singles(example: Example, fitted: Callable[[Example], Any]) -> None:
    if not example.singly:
        pytest.skip("an item's answer depends on those before it")
    items = example.items()
    together = example.answers(fitted(example), items)
    for method, alone in example.by_one(fitted(example), items).items():
        if alone.dtype.kind == "f":
            np.testing.assert_allclose(together[method], alone, rtol=1e-4, atol=1e-5)
        elif alone.dtype == np.uint8:  # pixels, rounded
            np.testing.assert_allclose(together[method].astype(int), alone.astype(int), atol=1)
        else:
            assert together[method].tolist() == alone.tolist()


def test_asking_twice_is_told_the_same(example: Example, fitted: Callable[[Example], Any]) -> None:
    first = everything(example, fitted(example))
    assert same(first, everything(example, fitted(example)))


def test_probabilities_are_probabilities(
    example: Example, fitted: Callable[[Example], Any]
) -> None:
    answers = example.answers(fitted(example), example.items())
    if "predict_proba" not in answers:
        pytest.skip("no probabilities")
    p, classes = answers["predict_proba"], fitted(example).classes_
    assert p.shape[:2] == (5, len(classes))
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    likeliest = p.argmax(axis=1)
    found = likeliest if answers["predict"].ndim > 1 else classes[likeliest]
    assert np.array_equal(answers["predict"], found)


# -- what outlives the process --------------------------------------------------------------------


def test_save_then_load_answers_the_same(
    example: Example, fitted: Callable[[Example], Any], tmp_path: Path
) -> None:
    model = fitted(example)
    assert model.save(tmp_path / "model") == tmp_path / "model"
    again = depthwise.load(tmp_path / "model")
    assert type(again) is type(model)
    assert same(everything(example, again), everything(example, model))
    assert again.get_params() == model.get_params()
    assert again.input_shape_ == model.input_shape_
    assert again.input_dtype_ == model.input_dtype_
    assert again.n_features_in_ == model.n_features_in_
    if hasattr(model, "classes_"):
        assert again.classes_.tolist() == model.classes_.tolist()
        assert again.classes_.dtype.kind == model.classes_.dtype.kind
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["model.json", "model.safetensors"]


def test_it_survives_pickle_for_joblib(example: Example, fitted: Callable[[Example], Any]) -> None:
    model = fitted(example)
    again = pickle.loads(pickle.dumps(model))
    assert same(everything(example, again), everything(example, model))


# -- bad input ------------------------------------------------------------------------------------


def test_what_cannot_be_learnt_is_named(example: Example) -> None:
    X, y, told = example.wrong()
    with pytest.raises(ValueError, match=told):
        example.make().fit(X, y)


def test_an_unfitted_model_says_so(example: Example, tmp_path: Path) -> None:
    with pytest.raises((ValueError, AttributeError), match="not fitted yet"):
        example.answers(example.make(), example.items())
    with pytest.raises(ValueError, match="not fitted yet"):
        example.make().save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_seed_that_is_none_is_named(example: Example) -> None:
    if example.name in DRAW_NOTHING:
        pytest.skip("draws nothing")
    with pytest.raises(ValueError, match=r"(?s)'seventeen'"):
        example.make(random_state="seventeen").fit(*example.data(0))


def test_a_device_that_is_not_here_is_named(example: Example) -> None:
    if "device" not in example.settings:
        pytest.skip("has no such setting")
    with pytest.raises(ValueError, match=r"(?s)device.*tpu"):
        example.make(device="tpu").fit(*example.data(0))

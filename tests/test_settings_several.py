"""Settings that are several whole numbers take a single one, in Python and at the command line."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.catalog import FAMILIES
from depthwise.commands.fit_folder import claim
from depthwise.commands.settings_text import parse_settings
from depthwise.errors import InputError
from depthwise.families.dnn.dnn import DNN
from depthwise.settings import whole_numbers

X = np.random.default_rng(0).random((40, 6), dtype=np.float32)
Y = np.arange(40) % 2


@pytest.mark.parametrize(
    "value, wanted",
    [(64, (64,)), (np.int64(7), (7,)), ([3, 5], (3, 5)), (np.array([2, 3]), (2, 3)), ((), ()),
     (8.0, (8,))],
)  # fmt: skip
def test_one_number_is_several_of_one(value: Any, wanted: tuple[int, ...]) -> None:
    assert whole_numbers("hidden", value, "widths") == wanted


@pytest.mark.parametrize("value", [0, -3, 2.5, True, "64", (4, 0), (4, "x"), float("nan"), 1j])
def test_what_is_no_width_is_refused_by_name_and_value(value: Any) -> None:
    with pytest.raises(InputError, match="hidden must be widths, such as 64"):
        whole_numbers("hidden", value, "widths")


def test_a_single_hidden_layer_is_written_as_its_width() -> None:
    one, several = DNN(hidden=5, epochs=2).fit(X, Y), DNN(hidden=(5,), epochs=2).fit(X, Y)
    assert one.get_params()["hidden"] == 5
    assert (one.predict_proba(X) == several.predict_proba(X)).all()


def test_every_setting_that_takes_several_whole_numbers_takes_one() -> None:
    found = 0
    for family in FAMILIES.values():
        for name in family().get_params(deep=False):
            options = typing.get_args(typing.get_type_hints(family).get(name))
            if tuple[int, ...] in options or typing.get_args(options) == (int, ...):
                found += 1
                assert int in options, f"{family.__name__}.{name}"
                assert parse_settings(family, [f"{name}=64"]) == {name: 64}
    assert found >= 5


def test_a_run_that_was_begun_with_one_width_in_brackets_goes_on(tmp_path: Path) -> None:
    request = {"family": "dnn", "settings": {"hidden": [64], "epochs": 3}}
    (tmp_path / "fit.json").write_text(json.dumps({"request": request, "result": None}))
    again = {"family": "dnn", "settings": {"hidden": 64, "epochs": 3}}
    assert claim(tmp_path, again) is not None
    with pytest.raises(InputError, match="hidden"):
        claim(tmp_path, {"family": "dnn", "settings": {"hidden": 65, "epochs": 3}})

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from depthwise.catalog import FAMILIES
from depthwise.commands.settings_text import parse_settings, typed
from depthwise.errors import InputError
from depthwise.families.dnn.dnn import DNN
from made_ink import Ink


@pytest.mark.parametrize(
    "text, hint, value",
    [
        ("20", int, 20),
        ("20", float, 20.0),
        ("1e-3", float, 1e-3),
        ("20", float | str, 20.0),
        ("auto", float | str, "auto"),
        ("dbn", str | None, "dbn"),
        ("none", str | None, None),
        ("None", int | None, None),
        ("true", bool, True),
        ("False", bool, False),
        ("500,500,2000", tuple[int, ...] | None, (500, 500, 2000)),
        ("[500, 500]", tuple[int, ...] | None, (500, 500)),
        ("(7,)", tuple[int, ...], (7,)),
        ("7", tuple[int, ...] | None, (7,)),
        ("7", int | tuple[int, ...], 7),
        ("0.1,auto", tuple[float | str, ...], (0.1, "auto")),
        ("flip,shift", str | tuple[str, ...] | None, ("flip", "shift")),
        ("flip", str | tuple[str, ...] | None, "flip"),
        ("1,2", Sequence[int], (1, 2)),
        ("'none'", str | None, "none"),
        ("cd", Literal["cd", "pcd"], "cd"),
        ("[1, 2]", Any, (1, 2)),
        ("0.5", Any, 0.5),
        ("word", Any, "word"),
    ],
)
def test_a_value_is_read_as_the_type_that_is_declared(text, hint, value):
    read = typed("name", text, hint)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "text, hint, wanted",
    [
        ("2.5", int, "a whole number"),
        ("abc", float | None, "a number or none"),
        ("nan", float, "a number"),
        ("inf", float, "a number"),
        ("1", bool, "true or false"),
        ("500,x", tuple[int, ...] | None, "several, each a whole number"),
        ("x", Literal["cd", "pcd"], "cd or pcd"),
    ],
)
def test_a_value_of_another_type_is_refused_with_those_it_may_have(text, hint, wanted):
    with pytest.raises(InputError, match=f"--set name={text}: name must be .*{wanted}"):
        typed("name", text, hint)


@pytest.mark.parametrize(
    "given, said",
    [
        (["epochs"], "NAME=VALUE"),
        (["=3"], "NAME=VALUE"),
        (["epoch=3"], "ink has no setting epoch; did you mean epochs"),
        (["momentum=3"], "ink has no setting momentum; it has batch_size, device"),
        (["epochs=3", "epochs=4"], "epochs is given twice"),
    ],
)
def test_what_is_no_setting_is_named(given, said):
    with pytest.raises(InputError, match=said):
        parse_settings(Ink, given)


def test_a_value_may_hold_an_equals_sign_and_spaces_do_not_matter():
    assert parse_settings(DNN, ["augment=a=b", " size = xs "]) == {"augment": "a=b", "size": "xs"}


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_setting_of_every_family_can_be_written_as_it_is_by_default(family):
    """Its own default, written down and read back, is itself."""
    known = FAMILIES[family]().get_params(deep=False)
    for name, value in known.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert parse_settings(FAMILIES[family], [f"{name}={text}"]) == {name: value}

"""What a setting says of itself: its range holds its default, and what is out of it is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depthwise import InputError
from depthwise.catalog import FAMILIES, TASKS
from depthwise.commands.settings_text import parse_settings
from depthwise.settings import (
    AUTO,
    NONE,
    Range,
    check_settings,
    number,
    one_of,
    setting,
    settings,
    settings_of,
    whole,
)
from made_ink import Ink
from settings_page import PAGE, page

EVERY = {**FAMILIES, **TASKS}
DONE = [name for name in EVERY if not name.endswith("regressor") and name != "counter"]


@pytest.mark.parametrize(
    ("range", "inside", "outside"),
    [
        (number("[0, 1)"), [0, 0.5, np.float32(0.25)], [1, -0.1, math.nan, "0.5", None, [0.5]]),
        (number("(0, inf)"), [1e-300, 7, np.int64(3)], [0, -1, math.inf, math.nan]),
        (number("(0, 1]"), [1, 0.1], [0, 1.01]),
        (whole("[2, inf)"), [2, np.int32(5)], [1, 2.0, 2.5, "2"]),
        (whole("[1, 8]"), [1, 8], [0, 9]),
        (one_of("adamw", "sgd"), ["adamw", np.str_("sgd")], ["adam", None, 3, ["sgd"]]),
        (one_of(True, False, None), [True, np.bool_(False), None], ["True", 2, "auto"]),
        (number("(0, inf)") | AUTO, [3, "auto"], ["best", 0, None]),
        (number("(0, 1)", several=True) | AUTO, [0.5, (0.1, 0.2), [0.1, "auto"]], [(0.1, 2), 2]),
        (AUTO | whole("[1, inf)") | NONE, [3, "auto", None], ["none", 0, 1.5]),
    ],
)
def test_a_range_holds_what_it_says(range: Range, inside: list, outside: list) -> None:
    assert all(value in range for value in inside)
    assert not any(value in range for value in outside)


@pytest.mark.parametrize(
    ("range", "words"),
    [
        (number("(0, inf)", usual=(1e-4, 0.01)), "a number above 0, usually 0.0001 .. 0.01"),
        (number("[0, 1)"), "a number in [0, 1)"),
        (whole("[2, inf)") | AUTO, "a whole number, at least 2, or 'auto'"),
        (one_of("a", "b"), "'a' or 'b'"),
        (one_of("a", "b", None), "one of 'a', 'b' or None"),
    ],
)
def test_a_range_says_what_a_value_must_be(range: Range, words: str) -> None:
    assert str(range) == words


@settings
class Base:
    rate: float = setting(default=0.5, range=number("[0, 1]"), doc="share of something")
    dropout: float = 0.1


@settings
class Other(Base):
    rate: float = 0.25


def test_another_default_keeps_range_and_meaning() -> None:
    rate = settings_of(Other)["rate"]
    assert (rate.default, rate.range, rate.doc) == (0.25, number("[0, 1]"), "share of something")
    assert settings_of(Other)["dropout"].range == number("[0, 1)", usual=(0, 0.5))  # COMMON
    with pytest.raises(InputError, match=r"rate must be a number in \[0, 1\]; got 3\."):
        check_settings(Other(rate=3))


@pytest.mark.parametrize("name", EVERY)
def test_defaults_are_in_their_ranges(name: str) -> None:
    for about in settings_of(EVERY[name]).values():
        assert about.range is None or about.default in about.range, about.name


@pytest.mark.parametrize("name", DONE)
def test_every_setting_says_what_it_is(name: str) -> None:
    found = settings_of(EVERY[name])
    assert list(found) and all(about.doc for about in found.values()), [
        about.name for about in found.values() if not about.doc
    ]


@pytest.mark.parametrize("name", DONE)
def test_a_value_out_of_range_is_refused_by_name_and_value(name: str) -> None:
    checked = [about for about in settings_of(EVERY[name]).values() if about.range]
    assert checked
    for about in checked:
        wrong = -17.25
        assert wrong not in about.range, about.name
        with pytest.raises(InputError, match=rf"{about.name} must be .*; got -17\.25\."):
            check_settings(EVERY[name](**{about.name: wrong}))


@pytest.mark.parametrize("name", DONE)
def test_the_docstring_lists_the_settings(name: str) -> None:
    for about in settings_of(EVERY[name]).values():
        assert about.name in (EVERY[name].__doc__ or ""), about.name


def test_what_is_set_at_the_command_line_is_held_to_the_range() -> None:
    with pytest.raises(InputError, match="--set epochs=-3: epochs must be a number above 0"):
        parse_settings(Ink, ["epochs=-3"])


def test_the_page_of_settings_is_what_the_code_says() -> None:
    remedy = "run: python tests/settings_page.py docs/settings.md"
    assert PAGE.read_text(encoding="utf-8") == page(), remedy

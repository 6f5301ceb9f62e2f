"""Settings of a family as they are written at the command line: `--set NAME=VALUE`.

A value is read as what the family's constructor takes there, by the type it declares, and must be
in the range that the setting has (settings.py):

    epochs=20, lr=1e-3, pretrain=dbn      whole numbers, numbers, words
    hidden=500,500,2000   hidden=[500]    several of them; one alone will do where only several fit
    centred=true, hidden=none             true or false; nothing

What declares no type is read as JSON, and as a word where it is none.
"""

from __future__ import annotations

import collections.abc
import contextlib
import difflib
import json
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

from depthwise.errors import InputError
from depthwise.settings import settings_of

__all__ = ["parse_settings", "typed"]

SEVERAL = (tuple, list, collections.abc.Sequence, collections.abc.Iterable)
WORDS = {
    type(None): "none",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
}


def parse_settings(maker: type, given: Sequence[str]) -> dict[str, Any]:
    """["hidden=500,500", "lr=0.1"] for the constructor of `maker`.

    Raises InputError for what is no NAME=VALUE, a name twice, one that the family does not have,
    and a value that it does not take.
    """
    known = maker().get_params(deep=False)
    hints, ranges = _hints(maker), settings_of(maker)
    settings: dict[str, Any] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise InputError(f"--set takes NAME=VALUE, such as epochs=5; got {text!r}.")
        require_known(maker.family, name, known)  # type: ignore[attr-defined]
        if name in settings:
            raise InputError(f"--set {name} is given twice.")
        settings[name] = typed(name, value, hints.get(name, Any))
        if name in ranges:
            ranges[name].check(settings[name], f"--set {name}={value}")
    return settings


def require_known(family: str, name: str, known: Sequence[str]) -> None:
    """That a family has a setting; else InputError with the nearest name, or all of them."""
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
    raise InputError(f"{family} has no setting {name}; {hint}")


def typed(name: str, text: str, hint: Any) -> Any:
    """The text as one of the types that `hint` allows. Raises InputError, naming them."""
    options = _options(hint)
    if Any in options:
        return _untyped(text)
    several = [option for option in options if typing.get_origin(option) in SEVERAL]
    single = [option for option in options if option not in several]
    listed = "," in text or text[:1] in ("[", "(")
    for option in [*several, *single] if listed else [*single, *several]:
        try:
            return _as(option, text)
        except ValueError:
            continue
    wanted = " or ".join(dict.fromkeys(_words(option) for option in options))
    raise InputError(f"--set {name}={text}: {name} must be {wanted}.")


def _options(hint: Any) -> list[Any]:
    """Types of a union, words last: they take any text."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return sorted(typing.get_args(hint) if union else [hint], key=lambda option: option is str)


def _as(option: Any, text: str) -> Any:
    """Raises ValueError where the text is no such thing."""
    origin, inner = typing.get_origin(option), typing.get_args(option)
    if origin is typing.Literal:
        return _one_of({str(value): value for value in inner}, text)
    if origin in SEVERAL:
        return tuple(_item(inner[0], part) for part in _parts(text))
    if option is type(None):
        return _one_of({"none": None, "null": None}, text.lower())
    if option is bool:
        return _one_of({"true": True, "false": False}, text.lower())
    if option is float:
        return _finite(float(text))
    if option is int:
        return int(text)
    return _word(text) if option is str else _untyped(text)


def _item(hint: Any, text: str) -> Any:
    for option in _options(hint):
        try:
            return _as(option, text)
        except ValueError:
            continue
    raise ValueError(text)


def _parts(text: str) -> list[str]:
    if (text[:1], text[-1:]) in (("[", "]"), ("(", ")")):
        text = text[1:-1]
    return [part.strip() for part in text.split(",") if part.strip()]


def _one_of(known: dict[str, Any], text: str) -> Any:
    if text not in known:
        raise ValueError(text)
    return known[text]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return value


def _word(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _untyped(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return {"none": None, "true": True, "false": False}.get(text.lower(), _word(text))
    return tuple(value) if isinstance(value, list) else value


def _words(option: Any) -> str:
    origin, inner = typing.get_origin(option), typing.get_args(option)
    if origin is typing.Literal:
        return " or ".join(map(str, inner))
    if origin in SEVERAL:
        return f"several, each {' or '.join(map(_words, _options(inner[0])))}, with commas between"
    return WORDS.get(option, str(option))


def _hints(maker: type) -> dict[str, Any]:
    """Of its attributes, each in the names of its base's module; of a constructor written by hand
    its arguments."""
    found: dict[str, Any] = {}
    for annotated in (maker, maker.__init__):  # type: ignore[misc]
        with contextlib.suppress(NameError, TypeError):  # a type that only exists for the checker
            found |= typing.get_type_hints(annotated)
    return found

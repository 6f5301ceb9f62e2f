"""What every estimator's settings are made of.

scikit-learn reads an estimator's settings from its constructor's signature and wants them stored
unchecked. `settings` writes such a constructor from the annotated attributes of a class and of its
bases, so that a family says only what is its own and where its defaults differ:

    @settings
    class Small(NetworkEstimator):
        size: str = "s"            Small(size="s", epochs="auto", lr=...) by name only
        classes_: np.ndarray = no_setting()          no setting: comes to be in `fit`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal, SupportsInt, TypeVar, dataclass_transform

from depthwise.errors import InputError

__all__ = ["Learning", "no_setting", "settings", "whole_numbers"]

Class = TypeVar("Class", bound=type)


def no_setting(*, default: Any = MISSING, init: Literal[False] = False) -> Any:
    """An attribute that is no setting."""
    return field(default=default, init=init)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(no_setting,))
def settings(cls: Class) -> Class:
    """The class with a constructor that takes its annotated attributes and stores them."""
    return dataclass(kw_only=True, eq=False, repr=False)(cls)  # type: ignore[return-value]


def whole_numbers(name: str, value: int | Sequence[int], what: str) -> tuple[int, ...]:
    """A setting that is several whole numbers of at least 1, or a single one: 64 as (64,).

    Raises InputError: `name` must be `what`.
    """
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not all(_whole(each) for each in given):
        raise InputError(f"{name} must be {what}, such as 64 or (64, 32); got {value!r}.")
    return tuple(int(each) for each in given)


def _whole(value: Any) -> bool:
    if isinstance(value, bool | str) or not isinstance(value, SupportsInt):
        return False
    try:
        return value >= 1 and int(value) == value  # type: ignore[operator]
    except (TypeError, ValueError, OverflowError):
        return False


@settings
class Learning:
    """Of what learns pass by pass. See a family for the meaning; `quality`:
    training/schedules.py."""

    quality: str = "fast"
    epochs: float | str = "auto"
    batch_size: int | str = "auto"
    weight_decay: float = 0.05
    random_state: Any = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int | str = "auto"
    verbose: bool = False

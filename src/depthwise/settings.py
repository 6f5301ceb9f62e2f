"""Settings of estimators: each with its default, the values that it takes and its meaning.

scikit-learn reads an estimator's settings from its constructor's signature and wants them stored
unchecked. `settings` writes such a constructor from the annotated attributes of a class and of its
bases, so that a family says only what is its own and where it differs:

    @settings
    class Small(NetworkEstimator):
        size: str = "s"            Small(size="s", epochs="auto", lr=...) by name only
        lr: float = 3e-3           another default; range and meaning are the base's
        dropout: float = setting(
            default=0.1, range=number("[0, 1)", usual=(0, 0.5)), doc="share of units silenced"
        )
        classes_: np.ndarray = no_setting()          no setting: comes to be in `fit`

What `setting` says is read by `check_settings` (in `fit`), by `--set NAME=VALUE`
(commands/settings_text.py), by the docstring of the class and by the tables of docs/settings.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal, SupportsInt, TypeVar, dataclass_transform

from depthwise.errors import InputError

__all__ = [
    "AUTO",
    "NONE",
    "Learning",
    "Range",
    "Setting",
    "check_settings",
    "no_setting",
    "number",
    "one_of",
    "setting",
    "settings",
    "settings_of",
    "whole",
    "whole_numbers",
]

Class = TypeVar("Class", bound=type)


# -- the values that a setting takes --------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """The numbers of an interval, words such as "auto", or both; `value in range`.

    interval: "[0, 1)" for 0 <= x < 1; "" where no number will do.
    several: whether a tuple or list of such values will do, one for each layer.
    usual: the interval in which good values lie, for people and for a search.
    """

    interval: str = ""
    whole: bool = False
    words: tuple[Any, ...] = ()
    usual: tuple[float, float] | None = None
    several: bool = False

    def __contains__(self, value: Any) -> bool:
        if self.several and isinstance(value, tuple | list):
            return all(each in self for each in value)
        if isinstance(value, Iterable) and not isinstance(value, str):
            return False
        if any(value is word or value == word for word in self.words):
            return True
        kind = Integral if self.whole else Real
        return bool(self.interval) and isinstance(value, kind) and self._has(float(value))

    def _has(self, value: float) -> bool:
        above = value >= self.low if self.interval[0] == "[" else value > self.low
        return above and (value <= self.high if self.interval[-1] == "]" else value < self.high)

    @functools.cached_property
    def low(self) -> float:
        return float(self.interval[1:-1].split(",")[0])

    @functools.cached_property
    def high(self) -> float:
        return float(self.interval[1:-1].split(",")[1])

    def __or__(self, other: Range) -> Range:
        """Either: an interval of one of them, and the words of both."""
        numbers = self if self.interval else other
        return replace(numbers, words=self.words + other.words)

    def __str__(self) -> str:
        """What a value must be, for messages: "a number above 0, usually 0.01 .. 1, or 'auto'"."""
        words = [repr(word) for word in self.words]
        if self.interval:
            several = ["a tuple of them, one for each layer"] if self.several else []
            return ", or ".join([self._in_words(), *several, *[" or ".join(words)] * bool(words)])
        listed = " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
        return f"one of {listed}" if words[2:] else listed

    def _in_words(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        usual = f", usually {self.usual[0]:g} .. {self.usual[1]:g}" if self.usual else ""
        if self.high < math.inf:
            return f"{kind} in {self.interval}{usual}"
        if self.low == -math.inf:
            return kind + usual
        least = f", at least {self.low:g}" if self.interval[0] == "[" else f" above {self.low:g}"
        return kind + least + usual


def number(
    interval: str, *, usual: tuple[float, float] | None = None, several: bool = False
) -> Range:
    """Numbers of an interval, "(0, inf)"."""
    return Range(interval, usual=usual, several=several)


def whole(interval: str, *, usual: tuple[float, float] | None = None) -> Range:
    """Whole numbers of an interval, "[1, inf)"."""
    return Range(interval, whole=True, usual=usual)


def one_of(*words: Any) -> Range:
    """Any of these words, truth values or None."""
    return Range(words=words)


AUTO, NONE = one_of("auto"), one_of(None)


# -- settings -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A setting as a class has it. range: None where any value is stored, and checked elsewhere."""

    name: str
    default: Any
    range: Range | None = None
    doc: str = ""

    def check(self, value: Any, shown: str = "") -> None:
        """Raises InputError for a value out of the range; `shown`: how the value was given."""
        if self.range is not None and value not in self.range:
            where = f"{shown}: {self.name} must be {self.range}."
            raise InputError(
                where if shown else f"{self.name} must be {self.range}; got {value!r}."
            )


# What many families have, each with a default of its own; a class may say more by `setting`.
COMMON: dict[str, tuple[Range | None, str]] = {
    "size": (None, "the network's size by name"),
    "quality": (
        one_of("fast", "paper"),
        'how long "auto" epochs last: until accuracy hardly rises, or as the papers train',
    ),
    "epochs": (number("(0, inf)") | AUTO, "passes over the data"),
    "batch_size": (whole("[2, inf)", usual=(8, 1024)) | AUTO, "items a step"),
    "lr": (number("(0, inf)", usual=(1e-4, 1e-2)), "peak learning rate"),
    "optimizer": (
        one_of("adamw", "sgd"),
        "AdamW, or SGD with Nesterov momentum 0.9, which wants an lr of 0.01 .. 1",
    ),
    "schedule": (
        one_of("onecycle", "cosine", "constant"),
        "how the learning rate rises and falls over the run",
    ),
    "weight_decay": (
        number("[0, inf)", usual=(0, 0.1)),
        "share of a weight lost per unit of learning rate; never of biases or norms",
    ),
    "clip_norm": (
        number("(0, inf)", usual=(0.5, 5)) | NONE,
        "largest norm of a step's gradient; None leaves gradients alone",
    ),
    "average": (
        number("[0, 1)", usual=(0, 0.1)),
        "share of the run that the average of the weights looks back over",
    ),
    "patience": (
        whole("[1, inf)") | one_of("auto", None),
        "passes without a better validation score before training stops",
    ),
    "validation_fraction": (
        number("[0, 1)", usual=(0, 0.3)),
        "share of the training items that is held out where no validation part is given",
    ),
    "dropout": (
        number("[0, 1)", usual=(0, 0.5)),
        "share of the features below the output layer that is silenced in training",
    ),
    "n_embedding": (
        whole("[1, inf)", usual=(32, 1024)) | NONE,
        "numbers of an embedding, in place of the size's",
    ),
    "max_words": (whole("[1, inf)"), "words of a text that are read; longer texts are cut"),
    "word_dropout": (
        number("[0, 1)", usual=(0, 0.4)),
        "share of words that is silenced in training",
    ),
    "vocabulary": (whole("[1, inf)"), "words that are kept, the most frequent ones"),
    "label_smoothing": (
        number("[0, 1)", usual=(0, 0.2)),
        "share of each target that is spread over all classes",
    ),
    "augment": (
        None,
        'how training images are varied: "auto" shifts, and flips colour images; None; or names '
        "of `data.pictures.augment.augmenter`",
    ),
    "warm_start": (one_of(True, False), "`fit` goes on from the present weights"),
    "class_weight": (
        None,
        'how much an item counts in `fit` by its class: None for 1, "balanced" for N / (K n_k), '
        "or a dict of labels and weights, 0.1 .. 100; it multiplies `sample_weight`",
    ),
    "metric": (
        None,
        "what chooses the best pass on the validation part: None for accuracy, "
        '"balanced_accuracy", "f1", "auroc" or "log_loss"',
    ),
    "random_state": (
        None,
        "seed; the same one gives the same weights (same computer, same threads)",
    ),
    "device": (None, '"auto", "cpu" or "cuda"'),
    "precision": (
        one_of("auto", "float32", "bfloat16"),
        'of the arithmetic in training; "auto" measures',
    ),
    "threads": (
        whole("[1, inf)") | AUTO,
        'processor threads in training; "auto" measures',
    ),
    "verbose": (one_of(True, False), "show progress on stderr"),
}


def setting(*, default: Any, range: Range | None = None, doc: str = "") -> Any:
    """A setting of a class: its default, the values that it takes, and in one line what it is and
    its unit. What is left out is as a base class has it."""
    return field(default=default, metadata={"range": range, "doc": doc})


def no_setting(*, default: Any = MISSING, init: Literal[False] = False) -> Any:
    """An attribute that is no setting."""
    return field(default=default, init=init)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(no_setting, setting))
def settings(cls: Class) -> Class:
    """The class with a constructor that takes its annotated attributes and stores them; its
    docstring lists those that have a meaning, unless it has a list of its own."""
    made: Any = dataclass(kw_only=True, eq=False, repr=False)(cls)
    if made.__doc__ and "Parameters\n" not in made.__doc__:
        made.__doc__ = made.__doc__.rstrip() + "".join(_parameters(made))
    return made


def _parameters(cls: type) -> Iterator[str]:
    described = [about for about in settings_of(cls).values() if about.doc]
    if described:
        yield "\n\n    Parameters\n    ----------"
    for about in described:
        values = f" ({about.range})" if about.range else ""
        yield f"\n    {about.name} : {about.doc}{values}; {about.default!r} by default."


@functools.cache
def settings_of(cls: type) -> dict[str, Setting]:
    """The settings of a class in the order of its constructor; none of a class whose constructor is
    written by hand."""
    own = [each for each in fields(cls) if each.init] if is_dataclass(cls) else []
    return {each.name: _setting(cls, each.name, each.default) for each in own}


def _setting(cls: type, name: str, default: Any) -> Setting:
    """Its range and meaning as the nearest of the class and its bases has them, or COMMON."""
    by_class = (vars(base).get("__dataclass_fields__", {}) for base in cls.__mro__)
    found = [known[name].metadata for known in by_class if name in known]
    ranges = [about["range"] for about in found if about.get("range")]
    docs = [about["doc"] for about in found if about.get("doc")]
    range, doc = COMMON.get(name, (None, ""))
    if name == "size":
        range = one_of(*getattr(cls, "sizes", ()))
    return Setting(name, default, (ranges or [range])[0], (docs or [doc])[0])


def check_settings(model: object) -> None:
    """Raises InputError for the first setting of an estimator that is out of its range, with its
    name, value and what it must be."""
    cls: type = type(model)
    for name, about in settings_of(cls).items():
        about.check(getattr(model, name))


def whole_numbers(name: str, value: int | Sequence[int], what: str) -> tuple[int, ...]:
    """A setting that is several whole numbers of at least 1, or a single one: 64 as (64,).

    Raises InputError: `name` must be `what`.
    """
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not all(_is_count(each) for each in given):
        raise InputError(f"{name} must be {what}, such as 64 or (64, 32); got {value!r}.")
    return tuple(int(each) for each in given)


def _is_count(value: Any) -> bool:
    if isinstance(value, bool | str) or not isinstance(value, SupportsInt):
        return False
    try:
        return value >= 1 and int(value) == value  # type: ignore[operator]
    except (TypeError, ValueError, OverflowError):
        return False


@settings
class Learning:
    """Settings of what learns pass by pass."""

    quality: str = "fast"
    epochs: float | str = "auto"
    batch_size: int | str = "auto"
    weight_decay: float = 0.05
    random_state: Any = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int | str = "auto"
    verbose: bool = False

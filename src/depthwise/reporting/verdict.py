"""The verdict of a choice in words: what wins, what it promises, why, and which limits were set.

The report and the terminal show the same sentences, made here from the dict of choice.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depthwise.measuring.metric import readable
from depthwise.reporting.figures import (
    LIMITS,
    NOTHING,
    bound,
    items_of,
    plain,
    row_of,
    score_of,
    told,
)

__all__ = ["is_worthless", "limits", "promise", "verdict", "winner_of"]

Record = Mapping[str, Any]


def limits(record: Record) -> list[str]:
    """["latency at most 2 ms", ...]: the limits that were given."""
    budget = record.get("budget") or {}
    return [
        f"{name} at most {bound(value)} {unit}".rstrip()
        for key, (_, name, unit) in LIMITS.items()
        if (value := budget.get(key)) is not None
    ]


def winner_of(record: Record) -> Record | None:
    found = [c for c in record["candidates"] if c["name"] == record.get("winner")]
    return found[0] if found else None


def verdict(record: Record) -> str:
    """One paragraph: which network to ship, what it costs, and why it and no other."""
    winner = winner_of(record)
    if winner is None:
        return _nearest_miss(record)
    lead = "The best of them all the same is" if is_worthless(record) else "Ship"
    return f"{lead} {plain(winner['name'])}. {promise(record, winner)}"


def is_worthless(record: Record) -> bool:
    """Whether the winner was not shown to be better than always answering the same."""
    return (record.get("baseline") or {}).get("beaten") is False


def promise(record: Record, winner: Record) -> str:
    """What the network to ship does and costs, and why it is the one: "It gets 98.4% ..."."""
    return f"{_does(record, winner)} {_why(record, winner)}"


def _does(record: Record, winner: Record) -> str:
    figures = row_of(winner, {}).figures
    test = record.get("test") or (winner.get("scorecard") or {}).get("accuracy")
    said = []
    if test:
        strange = record.get("task") == "anomaly"
        said.append(_quality(test, items_of(test, "test ") or "test items", strange))
    costs = [
        ("answers in {} ms", "latency"),
        ("weighs {} MB", "size"),
        ("spends {} mJ an item", "energy"),
    ]
    known = [
        text.format(("about " if figures[key].predicted else "") + figures[key].text)
        for text, key in costs
        if figures[key].text != NOTHING
    ]
    where = plain(str((record.get("device") or {}).get("name", "the device")))
    if known:
        said.append(f"On {where} it {_listed(known)}.")
    return " ".join(said)


def _quality(test: Record, unseen: str, strange: bool) -> str:
    unit = str(test.get("unit", "fraction"))
    if unit == "fraction":
        return f"It gets {told(test)} of {unseen} right that no choice had seen."
    if unit == "AUROC" and strange:
        return (
            f"It tells spoilt items from sound ones with an AUROC of {told(test)}, on {unseen} "
            "that no choice had seen."
        )
    name = score_of(unit).name
    if unit == "nats":
        return f"Its {name} is {told(test)} an item, the mean of {unseen} that no choice had seen."
    return f"Its {name} is {told(test)} on {unseen} that no choice had seen." + _errors(test)


def _errors(test: Record) -> str:
    """ " Its numbers are off by 43.2 (36.9-49.6) on average ...": of a metric of numbers."""
    scores = (test.get("details") or {}).get("scores") or {}
    known = [scores.get(name) for name in ("mae", "rmse")]
    if not all(known):
        return ""
    mean, root = (
        f"{readable(each['value'])} ({readable(each['low'])}–{readable(each['high'])})"
        for each in known
        if each
    )
    return f" Its numbers are off by {mean} on average (MAE; RMSE {root}), in their own units."


def _why(record: Record, winner: Record) -> str:
    candidates = [c for c in record["candidates"] if c.get("status") != "baseline"]
    statuses = [c.get("status") for c in candidates]
    ends = {
        "trained to the end": statuses.count("trained") + statuses.count("winner"),
        "stopped early": statuses.count("stopped"),
        "dropped before any training": statuses.count("dropped"),
    }
    counted = [f"{n} {'was' if n == 1 else 'were'} {words}" for words, n in ends.items() if n]
    given = _listed(limits(record))
    under = f" under your limits ({given})" if given else ""
    reason = _sentence(plain(str(winner.get("reason") or "")))
    return f"{reason} Of {len(candidates)} candidates{under}, {_listed(counted)}.".strip()


def _nearest_miss(record: Record) -> str:
    miss = record.get("nearest_miss") or {}
    if miss.get("advice"):
        return _sentence(plain(str(miss["advice"])))
    given = _listed(limits(record))
    return f"No candidate meets the limits ({given})." if given else "No candidate was chosen."


def _listed(parts: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

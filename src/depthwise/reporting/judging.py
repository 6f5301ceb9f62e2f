"""What a choice is worth, in words: whether its winner is better than what costs nothing, why it is
this one, and the winner's other scores. All of it from the dict of choice.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depthwise.measuring.classes import told_of, told_score
from depthwise.reporting.figures import items_of, plain, score_of, told
from depthwise.reporting.verdict import is_worthless

__all__ = ["headline", "score_rows", "why_this_one", "worthless"]

Record = Mapping[str, Any]


def headline(record: Record) -> tuple[str, str]:
    """What the report says first, and of what: ("Ship", "cnn-s")."""
    if not record.get("winner"):
        return "Nothing fits", ""
    if is_worthless(record):
        return "No network is better than always answering", _answer(record)
    return "Ship", plain(str(record["winner"]))


def worthless(record: Record) -> str:
    """That no network is better than always answering the same, with both scores; "" where one is,
    or nobody knows."""
    if not is_worthless(record):
        return ""
    base, test = record["baseline"], record["test"]
    name, unit = score_of(str(test["unit"])).name, items_of(test, "test ") or "the test items"
    alone = told({**base["test"], "low": None, "high": None})
    return (
        f"No network is better than always answering {_answer(record)!r}: that has {alone} {name} "
        f"on {unit}, and {plain(str(record['winner']))} {told(test)} "
        f"({base['test_name']}, p = {_p(base['p'])}). {_ranks(record)}"
    ).strip()


def _answer(record: Record) -> str:
    return plain(str(record["baseline"]["answer"]))


def _ranks(record: Record) -> str:
    """Whether its probabilities know something all the same, and what to ask for then."""
    area = ((record["test"].get("details") or {}).get("scores") or {}).get("auroc") or {}
    if area.get("low") is None:
        return ""
    shown = told_score("auroc", area)
    if area["low"] <= 0.5:
        return f"Nor do its probabilities tell the classes apart: AUROC {shown}."
    advice = "Choose by --metric auroc, balanced_accuracy or f1"
    if record.get("metric") not in (None, "accuracy"):
        advice = "Choose by --metric auroc"
    rank = f"Its probabilities do tell the classes apart, with an AUROC of {shown}"
    return f"{rank}. {advice}: {_guide(record)}."


def _guide(record: Record) -> str:
    return f"accuracy is no guide where {record['baseline']['share']:.0%} have one answer"


# -- why this one --------------------------------------------------------------------------------


def why_this_one(record: Record) -> list[str]:
    """Sentences: how the winner was found among the candidates; [] of an old record."""
    chosen = record.get("selection")
    if not chosen:
        return []
    return [*_rule(record, chosen), *_decision(record), *_beside_nothing(record)]


def _rule(record: Record, chosen: Record) -> list[str]:
    if not chosen.get("test"):
        return [
            "This task is scored as a whole, not item by item, so that candidates cannot be tested "
            "against each other: the highest score on validation wins, and of equal scores the "
            "lowest latency."
        ]
    best, name = plain(str(chosen["best"])), plain(str(chosen["winner"]))
    measure, items = _measure(record), f"{chosen['items']:,}"
    equals = [plain(str(equal)) for equal in chosen["equals"]]
    rounds = chosen.get("rounds", 0)
    where = f"items of {rounds} other part{'s' * (rounds > 1)}" if rounds else "validation items"
    said = [_again(chosen)] if rounds else []
    said += [
        f"The highest {measure} on the {items} {where} is that of {best}. Each of "
        f"{chosen['compared']} others was tested against it on the same items "
        f"({chosen['test']}, one-sided, level {chosen['level']:g}).",
    ]
    if close := chosen.get("close"):
        said.append(
            f"Equal to it is what the test does not tell from it, at most {close:g} behind."
        )
    if len(equals) < 2:
        return [*said, "There is none, so that it wins."]
    ranked = ", ".join(equals)
    order = "by latency, to two digits, then by bytes of weights"
    return [*said, f"These are, the cheapest first {order}: {ranked}. So {name} wins."]


def _again(chosen: Record) -> str:
    return (
        f"There are few validation items, so the {len(chosen['again'])} candidates that they could "
        f"not tell from the best were trained again on other parts, {chosen['rounds']} "
        f"time{'s' * (chosen['rounds'] > 1)}, and "
        "are compared by their answers to items that had neither trained nor stopped them."
    )


def _decision(record: Record) -> list[str]:
    cut = record.get("decision")
    if not cut:
        return []
    return [
        f"It calls an item {plain(str(cut['class']))!r} from a probability of {cut['from']:.1%} "
        f"on, the threshold that had the highest {_measure(record)} on validation; so does what is "
        "exported."
    ]


def _measure(record: Record) -> str:
    metric = (record.get("selection") or {}).get("metric") or record.get("metric") or "score"
    return str(metric).replace("_", " ")


def _beside_nothing(record: Record) -> list[str]:
    base = record.get("baseline")
    if not base or base.get("p") is None:
        return []
    verdict = "is better" if base["beaten"] else "is not shown to be better"
    return [
        f"On the test part, which no choice has seen, it {verdict} than always answering "
        f"{_answer(record)!r}, which costs nothing and gets {told(base['test'])} "
        f"({base['test_name']}, one-sided, level {base['level']:g}: p = {_p(base['p'])})."
    ]


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "under 0.001"


# -- the other scores ----------------------------------------------------------------------------


def score_rows(record: Record) -> list[tuple[str, str, str]]:
    """(name, value with interval, how the interval is come by) of each score of the test part."""
    scores = ((record.get("test") or {}).get("details") or {}).get("scores") or {}
    return [
        (
            (entry.get("name") or name.replace("_", " ")) + plain(told_of(entry)),
            told_score(name, entry),
            entry.get("interval", "bootstrap"),
        )
        for name, entry in scores.items()
        if entry.get("value") is not None
    ]

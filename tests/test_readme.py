"""What the README shows of the demo is what the demo prints: its command, limits and columns."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from depthwise.cli import app
from depthwise.commands.screen import COLUMNS
from depthwise.reporting.figures import LIMITS
from depthwise.task import SCORES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def shown() -> list[str]:
    """The lines between the marks of the demo's output."""
    (block,) = re.findall(
        r"<!-- demo-output -->\n```\n(.*?)\n```\n<!-- /demo-output -->", README, re.S
    )
    return str(block).splitlines()


def demo() -> list[str]:
    """The words of the command that `make demo` runs, after `depthwise`."""
    (recipe,) = re.findall(r"^demo:.*\n\t(?:.*/)?depthwise (.*)$", MAKEFILE, re.M)
    return shlex.split(recipe)


def limits() -> dict[str, float]:
    """latency_ms -> 2.0, ...: the limits of the command, by the names of a budget."""
    words = demo()
    pairs = itertools.pairwise(words)
    return {
        option.removeprefix("--max-").replace("-", "_"): float(value)
        for option, value in pairs
        if option.startswith("--max-")
    }


def test_the_demo_is_a_command_that_there_is() -> None:
    verb, *rest = demo()
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert verb == "choose" and rest[0] == "digits"
    assert {word for word in rest if word.startswith("--")} <= known


def test_the_readme_tells_how_to_run_it() -> None:
    assert re.search(r"^make demo ", README, re.M) and "make test" in README
    assert limits() and set(limits()) <= set(LIMITS)


def test_the_columns_are_those_that_are_printed() -> None:
    names, units = (line.split() for line in shown()[:2])
    score = SCORES["fraction"]
    assert names == ["candidate", score.name, *(name for _, name, _ in COLUMNS)]
    heading = f"{score.heading('validation')} {' '.join(unit for *_, unit in COLUMNS)}"
    assert units == heading.split()


def test_the_limits_are_those_of_the_command() -> None:
    line = next(line for line in shown() if line.split()[:1] == ["limit"])
    said = {float(number) for number in re.findall(r"≤ ([\d.]+)", line)}
    assert said == set(limits().values())
    verdict = " ".join(shown())
    for key, value in limits().items():
        _, name, unit = LIMITS[key]
        assert f"{name} at most {value:g} {unit}" in verdict


def test_one_candidate_wins() -> None:
    ends = [line.split(":")[0].strip() for line in shown() if line.startswith("    ")]
    assert ends.count("winner") == 1 and len(ends) > 1


@pytest.mark.parametrize("mark", ["demo-output", "/demo-output"])
def test_the_marks_are_there_once(mark: str) -> None:
    assert README.count(f"<!-- {mark} -->") == 1

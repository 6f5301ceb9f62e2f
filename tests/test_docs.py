"""Documentation that runs: every Python example executes, every command line exists as written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


EXAMPLES = [
    pytest.param(text, id=f"{page.name}-{i}")
    for page in PAGES
    for i, text in enumerate(blocks(page, "python"))
]
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for page in PAGES
        for text in blocks(page, "sh")
        for line in text.splitlines()
        if line.startswith("depthwise ")
    }
)


@pytest.mark.parametrize("page", ["docs/guide.md", "CONTRIBUTING.md"])
def test_a_file_of_ours_that_is_named_exists(page: str) -> None:
    known = {file.as_posix() for top in ("src", "tests") for file in (ROOT / top).rglob("*.py")}
    named = set(re.findall(r"`([a-z0-9_/]+\.py)`", (ROOT / page).read_text()))
    assert len(named) > 10
    assert not [name for name in named if not any(file.endswith(f"/{name}") for file in known)]


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_python_example_runs(text: str, tmp_path: Path) -> None:
    if "import pandas" in text:
        pytest.importorskip("pandas")
    environment = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", text], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_exists_as_written(command: str) -> None:
    from typer.main import get_command

    from depthwise.cli import app

    words = shlex.split(command)
    verb = get_command(app).commands[words[1]]  # type: ignore[attr-defined]
    options = {name for parameter in verb.params for name in parameter.opts}
    used = {word for word in words if word.startswith("--")}
    assert used <= options, f"{command}: {used - options}"


def test_the_readme_opens_with_the_two_commands() -> None:
    first = blocks(ROOT / "README.md", "sh")[0].splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make demo", "make test"]
    targets = (ROOT / "Makefile").read_text()
    assert "\ndemo:" in targets
    assert "\ntest:" in targets


def test_the_readme_shows_a_real_output() -> None:
    shown = re.search(
        r"<!-- demo-output -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert shown
    assert "Ship " in shown[1]
    assert "report  demo-out/report.html" in shown[1]

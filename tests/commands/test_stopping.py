"""Ctrl-C and SIGTERM: every verb says in one line how to go on, and gives 130 and 143."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.core import TyperCommand

from depthwise.cli import app, main
from depthwise.commands.stopping import RESUMING

VERBS = sorted(typer.main.get_command(app).commands)
CODES = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("number", "code", "word"), CODES)
def test_every_verb_says_how_to_go_on(verb, number, code, word, capsys, monkeypatch):
    def stopped(self, context):
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(TyperCommand, "invoke", stopped)
    monkeypatch.setattr(TyperCommand, "parse_args", lambda self, context, given: [])
    with pytest.raises(SystemExit) as ended:
        main([verb])
    assert ended.value.code == code
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"{word}: ")
    assert ("the same command to go on" in said[0]) == (verb in RESUMING)


def test_the_handler_of_sigterm_is_as_it_was_afterwards(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "code", "word"), CODES)
def test_a_fit_that_is_stopped_while_it_trains_goes_on(tmp_path, number, code, word):
    noise = np.random.default_rng(0)
    rows = noise.normal(size=(400, 3))
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{'yes' if a > b else 'no'}" for a, b, c in rows]
    Path(tmp_path / "data.csv").write_text("\n".join(["a,b,c,answer", *lines]))
    command = [sys.executable, "-m", "depthwise", "fit", "data.csv", "--family", "dnn"]
    command += ["--size", "xxs", "--out", "out", "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DEPTHWISE_CACHE": str(tmp_path / "cache")}
    long = subprocess.Popen(
        [*command, "--epochs", "100000"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "out" / "fit.json").exists() and long.poll() is None:
        time.sleep(0.02)
    time.sleep(1)
    long.send_signal(number)
    _, said = long.communicate(timeout=60)
    assert long.returncode == code and len(said.splitlines()) == 1
    assert said.startswith(word) and "repeat the" in said
    assert json.loads((tmp_path / "out" / "fit.json").read_text())["result"] is None
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".scratch", ".tmp"))]

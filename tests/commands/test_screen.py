from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from depthwise.commands.screen import (
    print_choice,
    print_devices,
    print_fitted,
    print_predictions,
    print_seen,
    print_verdict,
    print_verdicts,
)
from depthwise.inference.generating import Seen, Verdict
from depthwise.inference.input_files import Prediction
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.metric import Metric
from made_record import make_record, nothing_fits, of_the_data


def screen(width: int, colours: bool = False, encoding: str = "utf-8") -> Console:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    return Console(
        file=stream, width=width, force_terminal=colours, highlight=False, markup=False,
        emoji=False, soft_wrap=True, color_system="standard" if colours else None,
    )  # fmt: skip


def shown(console: Console) -> str:
    return console.file.buffer.getvalue().decode(console.file.encoding)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_screen(width):
    out = screen(width)
    print_choice(make_record(), out)
    print_verdict(make_record(), Path("demo-out"), out)
    assert max(map(len, shown(out).splitlines())) <= width


def test_every_candidate_and_why_it_ended_is_told():
    out = screen(80)
    print_choice(make_record(), out)
    for candidate in make_record()["candidates"]:
        assert candidate["name"] in shown(out)
        assert f"{candidate['status']}: {candidate['reason']}" in shown(out)


def test_the_winner_the_front_and_predictions_are_marked():
    out = screen(100)
    print_choice(make_record(), out)
    assert re.search(r"^▸ cnn-m .*≈3\.10", shown(out), re.MULTILINE)
    assert len(re.findall(r"^▸ \w+-\w+ ", shown(out), re.MULTILINE)) == 1
    assert re.search(r"^◆ dnn-s ", shown(out), re.MULTILINE)


def test_a_pipe_gets_no_escapes_and_a_terminal_gets_colours():
    plain, coloured = screen(80), screen(80, colours=True)
    print_choice(make_record(), plain)
    print_choice(make_record(), coloured)
    assert "\x1b" not in shown(plain) and "\x1b[" in shown(coloured)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown(coloured)).split() == shown(plain).split()


def test_a_terminal_without_unicode_gets_ascii():
    out = screen(80, encoding="ascii")
    print_choice(make_record(), out)
    print_verdict(make_record(), Path("out"), out)
    assert "> cnn-m" in shown(out) and "~3.10" in shown(out) and "97.0%" in shown(out)


def test_when_nothing_fits_the_report_is_named_and_no_model():
    out = screen(80)
    print_choice(nothing_fits(), out)
    print_verdict(nothing_fits(), Path("out"), out)
    assert "report  out/report.html" in shown(out) and "out/best" not in shown(out)
    assert "--max-latency-ms 0.042" in " ".join(shown(out).split())


@pytest.mark.parametrize("width, named", [(80, False), (140, True)])
def test_devices_fit_the_screen_and_say_their_names_where_there_is_room(width, named):
    out = screen(width)
    print_devices(list(catalog().values()), out)
    assert max(map(len, shown(out).splitlines())) <= width
    assert ("Cortex-M7" in shown(out)) == named
    assert all(key in shown(out) for key in catalog())


def test_predictions_line_up_and_hostile_names_are_harmless():
    out = screen(80)
    told = [
        Prediction("a.png", None, [("cat", 0.91), ("dog", 0.07)]),
        Prediction("猫.npy", 3, [("[red]x\x1b[2J", 0.5), ("b", 0.5)]),
    ]
    print_predictions(told, out)
    assert "\x1b" not in shown(out) and "[red]x?[2J" in shown(out) and "猫.npy[3]" in shown(out)
    assert "0.9100" in shown(out)


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("task, head", [("generate", "log-likelihood"), ("anomaly", "AUROC")])
def test_a_choice_of_another_task_is_headed_by_its_score_and_fits_the_screen(width, task, head):
    out = screen(width)
    print_choice(of_the_data(task), out)
    print_verdict(of_the_data(task), Path("out"), out)
    text = shown(out)
    assert head in text.splitlines()[0] and "accuracy" not in text
    assert ("nats validation" in text.splitlines()[1]) == (task == "generate")
    assert max(map(len, text.splitlines())) <= width
    winner = next(line for line in text.splitlines() if line.startswith("▸ dbm-l"))
    assert ("-85.7 (±0.7)" if task == "generate" else "0.989 ") in winner
    assert ("(0.985–0.993)" in winner) == (task == "anomaly" and width > 80)


def test_long_names_cost_the_interval_before_the_line_breaks():
    record = make_record()
    record["candidates"][0]["name"] = record["winner"] = "autoencoder-xxl"
    for width, told in ((80, False), (120, True)):
        out = screen(width)
        print_choice(record, out)
        lines = shown(out).splitlines()
        assert max(map(len, lines)) <= width and ("(97.6–100.0)" in shown(out)) == told


def test_what_is_strange_is_told_in_columns_with_its_threshold():
    out = screen(80)
    told = [Verdict("a.png", None, 12.5, 30.0), Verdict("b.npy", 7, 1e9, 30.0)]
    print_verdicts(told, out)
    lines = shown(out).splitlines()
    assert lines[1].split() == ["a.png", "12.50", "usual"]
    assert lines[2].split() == ["b.npy[7]", "1,000,000,000.00", "strange"]
    assert "above 30.00" in lines[3]


def test_reconstructions_are_told_with_their_difference():
    out = screen(80)
    seen = Seen(Verdict("a.png", None, 12.5, None), np.zeros((1, 2, 2)), np.full((1, 2, 2), 3.0))
    print_seen([seen], out)
    assert shown(out).splitlines()[1].split() == ["a.png", "12.50", "–", "3.00"]
    assert len(shown(out).splitlines()) == 2


@pytest.mark.parametrize(
    "quality, said",
    [
        (Metric(0.9, "fraction", "measured"), "test accuracy  90.0%"),
        (Metric(-86.31, "nats", "measured", -87.0, -85.6), "test log-likelihood  -86.3 nats"),
        (Metric(math.nan, "nats", "measured", source="no likelihood"), "unknown: no likelihood"),
    ],
)
def test_a_fit_is_told_by_its_own_measure(quality, said):
    out = screen(120)
    print_fitted(quality, "there", False, out)
    assert said in shown(out) and re.search(r"^model +there$", shown(out), re.MULTILINE)

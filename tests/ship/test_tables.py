from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from made_record import make_record, nothing_fits
from rich.console import Console

from depthwise.measuring.devices import catalog
from depthwise.ship.reading import Prediction
from depthwise.tables import print_choice, print_devices, print_predictions, print_verdict


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
    assert "> cnn-m" in shown(out) and "~3.10" in shown(out) and "97.0 %" in shown(out)


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

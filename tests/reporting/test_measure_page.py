"""The page of `measure`, and the layers in the report of `choose`."""

from __future__ import annotations

import copy

import pytest
from made_breakdown import made_breakdown, made_layer
from test_choice_page import HOSTILE, Page
from tests.bare_model import Bare
from torch import nn

from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.scorecard import measure
from depthwise.reporting.choice_page import render_report
from depthwise.reporting.layer_costs import in_bytes, in_joules, in_seconds, in_words, layer_rows
from depthwise.reporting.measure_page import render_measured, write_measured, write_page_of
from depthwise.reporting.roofline_chart import _points, _whole, roofline, roofline_in_words
from made_record import fraction, make_record, scorecard

DEVICE = make_record()["device"]


def card() -> dict:
    made = scorecard(0.62, 560_000, 910_000, 3.1)
    made["accuracy"] = fraction(0.97, 270)
    made["energy"]["details"]["ways"] = {"power x time": 3.3, "operations and bytes": 2.9}
    made["hardware_cost"]["details"] |= {
        "usd_per_million_low": 0.01,
        "usd_per_million_high": 0.04,
        "usd_per_million_power": 0.006,
        "usd_per_million_device": 0.015,
        "usd_per_kwh": 0.4,
        "life_years": 3.0,
        "utilisation": 0.25,
    }
    return made


@pytest.fixture(scope="module")
def text() -> str:
    return render_measured("cnn-m", card(), made_breakdown(), DEVICE, "depthwise measure x")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


# -- rows ------------------------------------------------------------------------------------------


def test_bars_are_shares_of_the_columns_longest_and_texts_of_the_whole():
    rows = layer_rows(made_breakdown())
    assert [row.name for row in rows] == ["stem", "deep", "3 others"]
    assert rows[0].time.parts == {"time": pytest.approx(100 * 1 / 2.97, abs=0.01)}
    assert rows[1].time.text == "2.97\N{NO-BREAK SPACE}ms"
    assert rows[1].time.share == "74%"  # 2.97 of 4.00 ms
    # weights and what is alive: 80 kB of the 220 kB of the other
    assert sum(rows[0].memory.parts.values()) == pytest.approx(100 * 80 / 220, abs=0.02)
    assert rows[0].energy.parts["arithmetic"] == pytest.approx(100 * 2 / 3, abs=0.01)


def test_what_is_folded_adds_up_and_draws_no_bars():
    breakdown = made_breakdown()
    folded = layer_rows(breakdown)[-1]
    assert folded.time.text == "30.0\N{NO-BREAK SPACE}µs"
    assert folded.energy.text == "30.0\N{NO-BREAK SPACE}µJ"
    assert folded.time.parts == folded.energy.parts == {}


def test_one_small_layer_alone_is_not_folded():
    names = ["large", "small"]
    layers = [made_layer("large"), made_layer("small", seconds=1e-9, rest_mj=0, bytes_mj=0)]
    layers[1]["arithmetic_mj"] = 0.0
    assert [row.name for row in layer_rows(made_breakdown(layers))] == names


def test_a_layer_without_a_name_is_the_network_itself():
    assert layer_rows(made_breakdown([made_layer("")]))[0].name == "the network itself"


def test_the_words_tell_the_time_by_what_bounds_it_and_the_peak():
    words = in_words(made_breakdown()).replace("\N{NO-BREAK SPACE}", " ")
    assert words.startswith("One item takes 4.00 ms: 74% in layers bound by moving bytes, 25%")
    assert "1% in layers bound by starting operators" in words
    assert "240 kB, in deep: 40.0 kB of weights and 200 kB alive" in words


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (in_seconds(0.0000643), "64.3 µs"),
        (in_seconds(0.25), "250 ms"),
        (in_joules(0.0801), "80.1 µJ"),
        (in_joules(2500), "2.50 J"),
        (in_bytes(12), "12.0 B"),
        (in_bytes(1_240_000), "1.24 MB"),
    ],
)
def test_figures_are_told_in_the_largest_unit_that_leaves_one(told, expected):
    assert told.replace("\N{NO-BREAK SPACE}", " ") == expected


# -- the roofline ----------------------------------------------------------------------------------


def test_a_layer_stands_at_its_operations_a_byte_and_a_second():
    points = _points(made_breakdown()["layers"])
    assert [p["name"] for p in points] == ["stem", "deep"]  # the others multiply nothing
    # 2 million operations over 100 kB in 1 ms
    assert (points[0]["x"], points[0]["y"]) == pytest.approx((20, 2.0))
    whole = _whole(made_breakdown())
    assert (whole["x"], whole["y"]) == pytest.approx((4e6 / 500_000, 4e6 / 4e-3 / 1e9))


def test_the_roofline_is_drawn_in_the_pages_colours_with_the_network_named(text):
    svg = roofline(made_breakdown())
    assert "var(--accent)" in svg and "whole network" in svg and "<text" in svg
    assert "peak 16.0" in svg and "2.00 GB/s" in svg
    assert roofline(made_breakdown()) == svg


def test_a_network_that_multiplies_nothing_has_no_roofline():
    assert roofline(made_breakdown([made_layer("relu", macs=0)])) == ""


def test_the_roofline_is_told_in_words():
    words = roofline_in_words(made_breakdown())
    assert "1.00 GFLOP/s at 8.00 operations a byte" in words and "peak is 16.0" in words


# -- pages -----------------------------------------------------------------------------------------


def test_the_page_is_whole_and_asks_the_network_for_nothing(text, page):
    assert page.badly_nested == [] and page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org", "")


def test_every_figure_tells_its_interval_how_and_from_where(page):
    for words in ("0.620 ms (0.589-0.651)", "measured", "predicted", "made by hand"):
        assert words in page.text
    assert "by power x time 3.30 mJ, by operations and bytes 2.90 mJ" in page.text


def test_a_million_items_are_told_with_the_prices_they_rest_on(page):
    assert "0.0210 USD (0.0100-0.0400)" in page.text
    assert "power at 0.4 USD a kWh: 0.00600 USD" in page.text
    assert "device over 3 years, 25% of them at work: 0.0150 USD" in page.text


def test_hostile_layers_and_models_are_shown_and_not_run():
    layers = [made_layer(HOSTILE), made_layer("b")]
    shown = render_measured(HOSTILE, card(), made_breakdown(layers), {"name": HOSTILE})
    assert "<script>alert" not in shown and "<img src=x" not in shown
    assert Page(shown).badly_nested == []


def test_a_card_without_accuracy_or_known_energy_makes_a_page(tmp_path):
    bare = card() | {"accuracy": None, "flexibility": None}
    bare["energy"] = {"value": None, "unit": "mJ", "how": "predicted", "details": {}}
    layers = [made_layer("a", arithmetic_mj=0.0, bytes_mj=0.0, rest_mj=0.0)]
    breakdown = made_breakdown(layers) | {"energy_mj": None}
    path = write_measured("cnn", bare, breakdown, DEVICE, tmp_path / "page.html")
    shown = Page(path.read_text("utf-8"))
    assert "unknown (mJ)" in shown.text and shown.badly_nested == []


def test_the_report_shows_the_winners_layers_where_they_were_kept():
    record = make_record()
    assert "Where it goes" not in Page(render_report(record)).text
    record["layers"] = made_breakdown()
    before = copy.deepcopy(record)
    shown = Page(render_report(record))
    assert "Where it goes" in shown.text and "3 others" in shown.text
    assert shown.badly_nested == [] and record == before


def test_a_runtimes_time_is_said_to_be_divided_as_torch_divides_it():
    text = render_measured("a", card(), made_breakdown() | {"runtime": "onnxruntime"}, DEVICE)
    assert "The whole time is onnxruntime's, its shares PyTorch's." in Page(text).text


def test_a_models_page_is_one_call(tmp_path):
    device = catalog()["raspberry-pi-5"]
    model = Bare(nn.Sequential(nn.Flatten(), nn.Linear(35, 3)), (1, 5, 7))
    taken = measure(model, device=device, flexibility=False)
    path = write_page_of(model, taken, device, tmp_path / "page.html", "mine")
    shown = Page(path.read_text("utf-8"))
    assert "What mine costs" in shown.text and "matrix product" in shown.text
    assert "Raspberry Pi 5" in shown.text

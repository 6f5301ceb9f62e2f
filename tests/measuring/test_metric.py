import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import depthwise
from depthwise.errors import InputError
from depthwise.measuring.metric import Metric, readable
from depthwise.reporting.figures import told
from depthwise.task import SCORES, in_words, per_cent


def test_a_metric_survives_json():
    metric = Metric(1.25, "ms", "measured", 1.2, 1.31, "100 runs", {"p50": 1.25, "runs": 100})
    assert Metric.from_dict(json.loads(json.dumps(metric.to_dict()))) == metric


def test_an_unknown_value_is_null_in_json_and_nan_again():
    unknown = Metric(math.nan, "USD", "counted")
    text = json.dumps(unknown.to_dict(), allow_nan=False)  # strict JSON has no NaN
    assert math.isnan(Metric.from_dict(json.loads(text)).value)
    assert str(unknown) == "unknown (USD)"


def test_print_shows_value_unit_interval_and_how():
    assert str(Metric(1.2414, "ms", "measured", 1.2, 1.31)) == "1.24 ms (1.20-1.31), measured"
    assert str(Metric(48211.0, "items/s", "predicted")) == "48,200 items/s, predicted"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.03117, "0.0312"), (9.996, "10.00"), (123456.0, "123,000"), (-2.5, "-2.50")],
)
def test_numbers_have_three_significant_digits_and_no_exponent(value, text):
    assert readable(value) == text


@given(st.floats(1e-6, 1e12))
def test_the_printed_number_is_within_half_a_percent_of_the_value(value):
    assert float(readable(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_only_the_three_honest_words_are_taken():
    with pytest.raises(InputError, match="guessed"):
        Metric(1.0, "ms", "guessed")


def test_a_stored_metric_without_its_unit_is_refused_by_name():
    with pytest.raises(InputError, match="unit"):
        Metric.from_dict({"value": 1.0, "how": "counted"})


@pytest.mark.parametrize("unit", [unit for unit, score in SCORES.items() if score.is_share])
def test_a_share_is_told_in_per_cent_everywhere_and_stored_as_a_number(unit):
    metric = Metric(0.7163, unit, "measured", 0.682, 0.749)
    assert str(metric).startswith("71.6%") and "(68.2-74.9), measured" in str(metric)
    assert "fraction" not in str(metric) and metric.to_dict()["value"] == 0.7163
    assert told(metric.to_dict()) == "71.6% (95% interval 68.2–74.9)"
    assert in_words(0.7163, unit) == "71.6%"


@pytest.mark.parametrize(
    ("value", "text"), [(0.9963, "99.63%"), (0.99, "99.00%"), (1.0, "100%"), (0.0, "0.0%")]
)
def test_near_the_top_a_share_has_two_digits(value, text):
    assert per_cent(value) == text and str(Metric(value, "fraction", "measured")).startswith(text)
    assert told({"value": value, "unit": "fraction"}) == text


def test_other_units_are_told_with_their_name():
    assert (
        in_words(-86.298, "nats") == "-86.30 nats" and in_words(0.93124, "AUROC") == "0.9312 AUROC"
    )


def test_no_message_writes_a_space_before_the_sign_of_per_cent():
    sources = [
        *Path(depthwise.__file__).parent.rglob("*.py"),
        *Path(depthwise.__file__).parent.rglob("*.html"),
    ]
    found = [path.name for path in sources if re.search(r"\} %|\b95 %", path.read_text("utf-8"))]
    assert len(sources) > 300 and not found

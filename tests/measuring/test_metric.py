import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise.errors import InputError
from depthwise.measuring.metric import Metric, readable


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

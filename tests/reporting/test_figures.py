from __future__ import annotations

import pytest

from depthwise.reporting import figures, verdict
from made_record import fraction, make_record, metric, of_the_data, score


def test_a_fraction_reads_as_per_cent_with_two_decimals_above_99():
    assert str(figures.share({"value": 0.984, "how": "measured"})) == "98.4"
    assert str(figures.share({"value": 0.99631, "how": "measured"})) == "99.63"


def test_a_prediction_is_marked_and_a_measurement_is_not():
    assert str(figures.number(metric(1.5, "ms"))) == "1.50"
    assert str(figures.number(metric(1.5, "ms", "predicted"))) == "≈1.50"


def test_an_unknown_figure_is_a_dash_never_a_number():
    assert str(figures.number({"value": None, "how": "counted"})) == "–"
    assert str(figures.number(None)) == "–"
    assert str(figures.megabytes(None)) == "–"


def test_a_measured_latency_is_held_against_its_limit_by_its_median():
    # cnn-l of the record: p50 1.6 ms, p95 1.4 times that = 2.24 ms, the limit is 2 ms
    record = make_record()
    rows = {row.name: row.figures for row in figures.rows(record)}
    assert not rows["cnn-l"]["latency"].over and rows["cnn-l"]["latency"].tail == "p95 2.24"
    record["budget"]["latency_ms"] = 1.5
    rows = {row.name: row.figures for row in figures.rows(record)}
    assert rows["cnn-l"]["latency"].over and not rows["cnn-m"]["latency"].over


def test_size_over_its_limit_is_marked_and_memory_without_a_limit_is_not():
    rows = {row.name: row.figures for row in figures.rows(make_record())}
    assert rows["cnn-xl"]["size"].over and not rows["cnn-xl"]["memory"].over
    assert not rows["cnn-m"]["size"].over


def test_limits_on_counted_figures_are_told_to_the_last_one():
    record = make_record()
    record["budget"] |= {"parameters": 78_000, "macs": 12_500_000}
    assert verdict.limits(record)[-2:] == [
        "parameters at most 78,000",
        "multiply-accumulates at most 12,500,000 an item",
    ]
    by_name = {row.name: row.figures["parameters"] for row in figures.rows(record)}
    assert (by_name["cnn-m"].text, by_name["cnn-m"].over) == ("140,000", True)  # 560 kB / 4
    assert (by_name["cnn-s"].text, by_name["cnn-s"].over) == ("37,000", False)


def test_rows_begin_with_the_winner_and_go_down_in_accuracy():
    names = [row.name for row in figures.rows(make_record())]
    assert names[:3] == ["cnn-m", "cnn-s", "cnn-xs"]
    assert names[-1] == "dnn-xl"


def test_the_verdict_leaves_out_what_nobody_knows():
    record = make_record()
    card = record["candidates"][0]["scorecard"]
    card["energy"] = {"value": None, "unit": "mJ", "how": "predicted"}
    assert "mJ" not in verdict.verdict(record)
    assert "0.620 ms and weighs 0.560 MB" in verdict.verdict(record)


def test_the_interval_of_the_verdict_is_that_of_the_test_part():
    record = make_record()
    record["test"] = fraction(0.5, 4)  # 0.5 +- 1.96 * sqrt(0.25 / 4) = 0.01 .. 0.99
    assert "50.0% (95% interval 1.0–99.0) of 4 test items" in verdict.verdict(record)


def test_control_characters_of_names_never_reach_a_terminal():
    assert figures.plain("a\x1b[31mb\nc\x07") == "a?[31mb?c?"
    assert figures.plain("naïve 猫") == "naïve 猫"


def test_nats_keep_the_decimals_that_matter_and_tell_half_their_interval():
    made = {**metric(-86.34, "nats"), "low": -87.0, "high": -85.7}
    assert (str(figures.score(made)), figures.score(made).interval) == ("-86.3", "±0.7")
    assert figures.told(made) == "-86.3\xa0nats (95% interval ±0.7)"
    assert str(figures.score({**metric(-3.502, "nats"), "low": None})) == "-3.50"
    assert str(figures.score({**metric(-1234.5, "nats"), "low": None})) == "-1,234.5"


def test_an_auroc_has_more_decimals_near_one():
    made = {**metric(0.9714, "AUROC"), "low": 0.9614, "high": 0.98}
    assert figures.told(made) == "0.971 (95% interval 0.961–0.980)"
    assert str(figures.score({**made, "value": 0.99921})) == "0.9992"


def test_a_fraction_is_told_as_it_always_was():
    assert figures.told(fraction(0.5, 4)) == "50.0% (95% interval 1.0–99.0)"


@pytest.mark.parametrize("unit, name", [("fraction", "accuracy"), ("nats", "log_likelihood")])
def test_a_score_has_a_name_for_json(unit, name):
    assert figures.score_of(unit).key == name


@pytest.mark.parametrize("task", ["generate", "anomaly"])
def test_rows_of_any_score_go_down_and_what_has_none_comes_last(task):
    record = of_the_data(task)
    names = [row.name for row in figures.rows(record)]
    assert names[:3] == ["dbm-l", "dbm-m", "autoencoder-xs"] and names[-1] == "dnn-xl"
    record["candidates"][0]["validation_accuracy"] = None  # scored by none: after those that were
    record["candidates"][0]["status"] = "trained"
    trained = [row.name for row in figures.rows(record) if row.status == "trained"]
    assert trained[-1] == "dbm-l"


def test_the_unit_is_the_tasks_where_nothing_has_been_scored():
    record = {**of_the_data("generate"), "test": None}
    for entry in record["candidates"]:
        entry["validation_accuracy"] = None
    assert figures.unit_of(record) == "nats"
    assert figures.unit_of({**record, "task": "anomaly"}) == "AUROC"
    assert figures.unit_of({**record, "task": "classification"}) == "fraction"


def test_the_verdict_tells_what_the_task_asks_for():
    said = verdict.verdict(of_the_data("generate"))
    assert "Its log-likelihood is -86.1\xa0nats (95% interval ±0.7) an item" in said
    assert "the mean of 270 test items that no choice had seen" in said
    said = verdict.verdict(of_the_data("anomaly"))
    assert "an AUROC of 0.985 (95% interval 0.981–0.989), on 270 test items" in said
    assert score("anomaly", 0.985)["value"] == 0.985

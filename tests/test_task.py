"""The rows of the tasks hold together, and the names that were tables before are read from them."""

from __future__ import annotations

import pytest

from depthwise.data.dataset import TASKS as DATA_NAMES
from depthwise.errors import InputError
from depthwise.measuring import quality
from depthwise.task import DATA_TASKS, SCORES, TASKS, Task, data_task_named, task_named

ROWS = list(TASKS.values())


@pytest.mark.parametrize("row", ROWS, ids=list(TASKS))
def test_each_is_scored_in_a_known_unit_and_learns_from_data_that_there_are(row: Task) -> None:
    assert row.unit in SCORES
    assert not row.data or row.data in DATA_TASKS
    assert bool(row.data) == bool(row.seen_in)


def test_a_model_of_the_data_itself_says_by_which_method_it_is_scored() -> None:
    assert {row.name for row in ROWS if row.scored_with} == {"generate", "anomaly"}
    assert all(bool(row.scored_with) == (row.answer == "score") for row in ROWS)


def test_the_tables_are_read_from_the_rows() -> None:
    assert tuple(TASKS) == quality.TASKS
    assert quality.LABELLED == ("classification", "video", "text")
    assert quality.OWN["retrieval"] == "captions"
    assert set(quality.METRIC_NAMES) == {*quality.LABELLED, "regression"}
    assert set(DATA_NAMES) == {
        *("classification", "regression", "detection", "segmentation", "video", "faces"),
        *("captions", "text", "pairs", "language", "unlabelled"),
    }


def test_a_misspelt_task_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"task must be one of classification, .*; got 'clasify'"):
        task_named("clasify")
    with pytest.raises(InputError, match="got task='counting'"):
        data_task_named("counting")

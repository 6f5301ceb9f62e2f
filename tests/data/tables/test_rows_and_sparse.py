"""Sparse matrices, dates in cells, and rows as dicts: without any package of data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from depthwise import DNN, DataError, InputError, LogisticRegression, load_data
from depthwise.data.tables import sparse as sparse_module
from depthwise.data.tables.dates import read_dates, written
from depthwise.data.tables.encoding import BLANK

# -- sparse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_matrix"])
def test_a_sparse_matrix_is_its_dense_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_module, "BLOCK_BYTES", 7 * 13 * 8)  # several blocks
    dense = np.random.default_rng(0).random((61, 13)) * (np.arange(13) % 3 == 0)
    y = (dense[:, 0] > 0.5).astype(int)
    thin = getattr(sparse, kind)(dense)
    fits = [LogisticRegression().fit(X, y) for X in (dense, thin)]
    np.testing.assert_array_equal(fits[0].predict_proba(dense), fits[1].predict_proba(thin))
    data = load_data((thin, y))
    assert data.fingerprint == load_data((dense, y)).fingerprint
    assert "sparse matrix" in str(data)


def test_a_sparse_matrix_that_would_be_too_large_is_refused() -> None:
    wide = sparse.csr_matrix((40, 10**8))
    with pytest.raises(InputError, match="TruncatedSVD"):
        LogisticRegression().fit(wide, np.arange(40) % 2)
    with pytest.raises(InputError, match="32,000 MB"):
        load_data((wide, np.arange(40) % 2))


# -- dates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["2024-02-29", ""], ["2024-02-29T00:00:00.000000", "NaT"]),
        (["2024/2/29 7:05", "na"], ["2024-02-29T07:05:00.000000", "NaT"]),
        (["29.02.2024 07:05:01.25"], ["2024-02-29T07:05:01.250000"]),
        (["2024-02-29T07:05:01Z"], ["2024-02-29T07:05:01.000000"]),
        (["2024-02-29 07:05:01+02:00"], ["2024-02-29T07:05:01.000000"]),
        (["3/4/2024", "13/4/2024"], ["2024-04-03T00:00:00.000000", "2024-04-13T00:00:00.000000"]),
        (["3/4/2024", "4/13/2024"], ["2024-03-04T00:00:00.000000", "2024-04-13T00:00:00.000000"]),
    ],
)
def test_dates_are_read_as_they_are_written(texts: list[str], wanted: list[str]) -> None:
    found = read_dates(texts, BLANK)
    assert found is not None and found.astype(str).tolist() == wanted


@pytest.mark.parametrize("texts", [["2023-02-29"], ["2024-13-01"], ["1/1/24"], ["May 4"], ["", ""]])
def test_what_is_no_date_is_none(texts: list[str]) -> None:
    assert read_dates(texts, BLANK) is None


@pytest.mark.parametrize("unit", ["D", "s", "us"])
def test_dates_are_written_as_briefly_as_their_column_can_be(unit: str) -> None:
    days = np.array(["2024-02-29", "NaT", "1969-12-31"], f"datetime64[{unit}]")
    dates = (days + np.timedelta64(1, unit)).astype("datetime64[us]")
    texts = written(dates)
    assert texts[1] == "" and len(texts[0]) == {"D": 10, "s": 19, "us": 26}[unit]
    np.testing.assert_array_equal(read_dates(texts, BLANK), dates)


def test_dates_that_can_be_read_in_two_ways_are_texts_and_told() -> None:
    data = load_data(
        [{"when": day, "y": k % 2} for k, day in enumerate(["3/4/2024", "5/6/2024"] * 10)]
    )
    assert (data.columns or [])[0].kind == "text"
    assert "may begin with the day or with the month" in str(data)


# -- rows as dicts -------------------------------------------------------------------------------


def rows(n: int = 60) -> tuple[list[dict[str, Any]], list[str]]:
    source = np.random.default_rng(0)
    made = [
        {
            "age": int(source.integers(18, 80)),
            "city": str(source.choice(["Oslo", "Rome"])),
            "member": bool(source.random() < 0.5),
            "since": f"2024-{1 + k % 12:02}-{1 + k % 28:02}",
        }
        for k in range(n)
    ]
    return made, ["yes" if row["age"] > 45 else "no" for row in made]


def test_rows_as_dicts_are_learnt_from_and_answered() -> None:
    made, labels = rows()
    model = DNN(hidden=(16,), epochs=40, lr=0.01).fit(made, labels)
    assert model.score(made, labels) > 0.9
    shares = model.predict_proba(made[:3])
    turned = [dict(reversed(row.items())) | {"more": 1} for row in made[:3]]
    np.testing.assert_array_equal(model.predict_proba(turned), shares)
    assert [column.kind for column in model.columns_ or []] == ["number", "text", "boolean", "date"]


def test_a_row_without_a_column_has_a_blank_cell_and_none_with_it_is_an_error() -> None:
    made, labels = rows()
    model = LogisticRegression().fit(made, labels)
    middle = float(np.median([row["age"] for row in made]))
    gone = [{**made[0]}, {k: v for k, v in made[0].items() if k != "age"}]
    filled = [made[0], {**made[0], "age": middle}]
    np.testing.assert_allclose(model.predict_proba(gone), model.predict_proba(filled), atol=1e-6)
    with pytest.raises(DataError, match="no column 'age'"):
        model.predict(gone[1:])


def test_columns_without_a_feature_among_them_are_refused() -> None:
    made = [{"note": f"free text {k}", "y": k % 2} for k in range(90)]
    with pytest.raises(DataError, match="no column can serve as a feature"):
        load_data(made, label="y", task="classification")

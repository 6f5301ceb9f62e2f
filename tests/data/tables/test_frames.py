"""Data frames, series and sparse matrices, straight into loaders and estimators."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimator_sparse_array,
    check_estimator_sparse_matrix,
    check_estimator_sparse_tag,
    check_n_features_in,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
)

import depthwise
from depthwise import DNN, RBM, DataError, InputError, LogisticRegression, load_data
from depthwise.catalog import find_family
from depthwise.data.tables.columns import label_of

pd = pytest.importorskip("pandas")
N = 90
CHECKS = [
    check_dataframe_column_names_consistency,
    check_estimator_sparse_array,
    check_estimator_sparse_matrix,
    check_estimator_sparse_tag,
    check_n_features_in,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
]


def people(n: int = N, seed: int = 0) -> Any:
    source = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": source.integers(18, 80, n),
            "income": source.normal(3e4, 1e4, n).round(2),
            "city": source.choice(["Oslo", "Rome", "Bern"], n),
            "tier": pd.Categorical(source.choice(["a", "b"], n)),
            "member": pd.array(source.random(n) < 0.5, "boolean"),
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(source.integers(0, 1500, n), unit="D"),
            "seen": pd.Timestamp("2023-01-01")
            + pd.to_timedelta(source.integers(0, 10**7, n), unit="s"),
        }
    )
    frame.loc[::7, "income"] = np.nan
    frame.loc[::11, "city"] = None
    frame.loc[::13, "since"] = pd.NaT
    frame.loc[::17, "member"] = pd.NA
    return frame


def bought(frame: Any) -> Any:
    return pd.Series(np.where(frame["age"] > 45, "yes", "no"), name="bought")


def as_python(frame: Any) -> dict[str, list[Any]]:
    """Columns of Python's own objects, None for what is missing."""
    return {
        name: [
            None if pd.isna(x) else x.to_pydatetime() if isinstance(x, pd.Timestamp) else x
            for x in frame[name].tolist()
        ]
        for name in frame
    }


@pytest.fixture(scope="module")
def frame() -> Any:
    return people()


@pytest.fixture(scope="module")
def model(frame: Any) -> DNN:
    return DNN(hidden=(16,), epochs=30).fit(frame, bought(frame))


# -- a frame is the CSV that it would be written to ---------------------------------------------


def same(a: Any, b: Any) -> bool:
    return bool(a.fingerprint == b.fingerprint and a.columns == b.columns)


def test_a_frame_and_its_csv_are_the_same_dataset(frame: Any, tmp_path: Path) -> None:
    whole = frame.assign(bought=bought(frame))
    whole.to_csv(tmp_path / "people.csv", index=False)
    from_csv = load_data(tmp_path / "people.csv", label="bought", cache=False)
    assert same(load_data(whole, label="bought"), from_csv)
    assert same(load_data(frame, bought(frame)), from_csv)
    assert same(load_data(whole), from_csv)  # the last column, as of a CSV
    kinds = {column.name: column.kind for column in from_csv.columns or ()}
    assert kinds == {
        "age": "number",
        "income": "number",
        "city": "text",
        "tier": "text",
        "member": "boolean",
        "since": "date",
        "seen": "date",
        "bought": "label",
    }


cells = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(-1e30, 1e30),
    st.booleans(),
    # no CSV holds a NUL, and pandas writes a carriage return without quotes: it would end the line
    st.text(st.characters(exclude_characters="\x00\r"), max_size=3),
)
columns = st.one_of(
    st.lists(st.one_of(st.none(), st.floats(-1e30, 1e30)), min_size=12, max_size=12),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=12, max_size=12),
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "ü;,\"'"])), min_size=12, max_size=12),
    st.lists(st.one_of(st.none(), st.datetimes()), min_size=12, max_size=12),
    st.lists(st.one_of(st.none(), st.dates()), min_size=12, max_size=12),
    st.lists(st.integers(-(2**60), 2**60), min_size=12, max_size=12),
    st.lists(cells, min_size=12, max_size=12),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(columns, min_size=1, max_size=3), st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_frame_and_its_csv_are_the_same_dataset(made: list[Any], labels: list[bool]) -> None:
    labels[:2] = [True, False]
    whole = pd.DataFrame({f"c{k}": pd.Series(c) for k, c in enumerate(made)} | {"y": labels})
    csv = whole.to_csv(index=False).encode("utf-8", "surrogatepass")

    def load(source: Any) -> Any:
        try:
            return load_data(source, label="y", cache=False)
        except DataError as error:
            return str(error).split(": ", 1)[-1].split(", ")[-1]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(csv)
        from_csv, from_frame = load(path), load(whole)
    if isinstance(from_csv, str) or isinstance(from_frame, str):
        assert isinstance(from_csv, str) and isinstance(from_frame, str)
        return
    assert same(from_frame, from_csv)


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dicts", "stream"])
def test_frames_of_other_libraries_are_the_same(kind: str, frame: Any) -> None:
    whole = frame.assign(bought=bought(frame))
    plain = as_python(whole)
    if kind == "dicts":
        other: Any = [dict(zip(plain, row)) for row in zip(*plain.values())]
    elif kind == "polars":
        other = pytest.importorskip("polars").DataFrame(plain)
    else:
        other = pytest.importorskip("pyarrow").table(plain)
        other = other if kind == "pyarrow" else Stream(other)
    assert same(load_data(other, label="bought"), load_data(whole, label="bought"))


class Stream:
    """What is known of a frame of a library that nobody has heard of."""

    def __init__(self, table: Any):
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


def test_a_frame_of_texts_is_read_as_its_csv(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    words = ["good", "bad", "film", "long", "was", "it", "never", "so"]
    texts = [" ".join(source.choice(words, 9)) + f", {k}" for k in range(60)]
    whole = pd.DataFrame({"review": texts, "label": ["+" if "good" in t else "-" for t in texts]})
    whole.to_csv(tmp_path / "t.csv", index=False)
    from_csv = load_data(tmp_path / "t.csv", cache=False)
    assert from_csv.task == "text"
    assert load_data(whole).fingerprint == from_csv.fingerprint
    assert load_data(whole[["review"]], whole["label"]).fingerprint == from_csv.fingerprint


# -- estimators ---------------------------------------------------------------------------------


def test_a_frame_is_learnt_from_and_answered(model: DNN, frame: Any) -> None:
    assert model.score(frame, bought(frame)) > 0.85
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert model.n_features_in_ == 7
    assert label_of(model.columns_ or []) == "bought"
    assert set(model.predict(frame)) == {"yes", "no"}


def test_columns_are_found_by_name_in_any_order_and_among_others(model: DNN, frame: Any) -> None:
    shares = model.predict_proba(frame)
    mixed = frame[frame.columns[::-1]].assign(more=1)
    np.testing.assert_array_equal(model.predict_proba(mixed), shares)
    polars = pytest.importorskip("polars")
    np.testing.assert_array_equal(model.predict_proba(polars.DataFrame(as_python(mixed))), shares)


def test_a_missing_column_is_named(model: DNN, frame: Any) -> None:
    with pytest.raises(DataError, match="no column 'age'; did you mean 'aage'"):
        model.predict(frame.rename(columns={"age": "aage"}))


def test_a_cell_of_another_kind_is_named_with_its_row_and_column(model: DNN, frame: Any) -> None:
    spoilt = frame.astype({"age": object})
    spoilt.loc[3, "age"] = "old"
    with pytest.raises(DataError, match="'old' in row 3, column 'age', is no number"):
        model.predict(spoilt)
    with pytest.raises(DataError, match="row 0, column 'since', is no date"):
        model.predict(frame.assign(since="yesterday"))
    with pytest.raises(DataError, match="row 0, column 'member', is neither true nor false"):
        model.predict(frame.assign(member="perhaps"))


def test_a_value_never_seen_is_none_of_the_known_and_is_told(model: DNN, frame: Any) -> None:
    with pytest.warns(UserWarning, match="column 'city': 'Paris' in no row"):
        shares = model.predict_proba(frame.assign(city="Paris"))
    np.testing.assert_array_equal(shares, model.predict_proba(frame.assign(city=None)))


def test_a_missing_cell_is_answered_as_the_median(model: DNN, frame: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blank = model.predict_proba(frame.assign(income=np.nan))
    middle = model.predict_proba(frame.assign(income=frame["income"].median()))
    np.testing.assert_allclose(blank, middle, atol=1e-5)


def test_a_saved_model_takes_frames_and_csv_rows(model: DNN, frame: Any, tmp_path: Path) -> None:
    again = depthwise.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert again.columns_ == model.columns_
    frame.to_csv(tmp_path / "new.csv", index=False)
    from depthwise.inference.input_files import read_inputs

    rows = read_inputs(tmp_path / "new.csv", again.input_shape_, "float32", again.columns_)
    np.testing.assert_array_equal(again.predict_proba(rows), model.predict_proba(frame))


def test_a_model_of_a_dataset_takes_the_frame_it_came_from(frame: Any) -> None:
    data = load_data(frame, bought(frame))
    model = LogisticRegression().fit(data)
    test = data.indices["test"]
    np.testing.assert_allclose(
        model.predict_proba(frame.iloc[test]), model.predict_proba(data.test.X), atol=1e-5
    )


def test_features_that_are_encoded_already_are_taken_too(model: DNN, frame: Any) -> None:
    data = load_data(frame, bought(frame), columns=model.columns_)
    np.testing.assert_array_equal(model.predict_proba(data.inputs), model.predict_proba(frame))


@pytest.mark.parametrize("name", ["boosting", "dsn", "dnn_regressor", "linear", "autoencoder"])
def test_every_kind_of_family_takes_frames(name: str, frame: Any) -> None:
    small: dict[str, Any] = {"boosting": {"max_iter": 3}, "autoencoder": {"epochs": 2}}
    small |= {"dnn_regressor": {"hidden": (4,), "epochs": 2}, "dsn": {"n_hidden": 9, "epochs": 1}}
    family = find_family(name)
    target = frame["age"].astype(float) if "classification" not in family.tasks else bought(frame)
    fitted = family(**small.get(name, {})).fit(frame, target, sample_weight=frame["age"])
    assert len(fitted.predict(frame)) == N
    assert fitted.score(frame, target) == pytest.approx(
        clone(fitted).fit(frame, target, frame["age"]).score(frame, target)
    )


def test_models_of_the_data_take_frames(frame: Any) -> None:
    model = RBM(n_hidden=4, epochs=1).fit(frame)
    assert model.anomaly_score(frame).shape == (N,)


def test_validation_is_encoded_as_the_training_frame(frame: Any) -> None:
    held = people(30, seed=1)
    model = DNN(hidden=(4,), epochs=2).fit(frame, bought(frame), validation=(held, bought(held)))
    assert "score" in model.history_["epochs"][-1]


def test_partial_fit_learns_its_columns_from_the_first_piece(frame: Any) -> None:
    model = DNN(hidden=(4,))
    for part in (frame.iloc[:40], frame.iloc[40:]):
        model.partial_fit(part, bought(part), classes=["no", "yes"])
    assert model.predict(frame).shape == (N,)


def test_free_text_is_left_out_and_told(frame: Any) -> None:
    noted = frame.assign(note=[f"note {k}" for k in range(N)])
    with pytest.warns(UserWarning, match="free text: note: 90 different texts"):
        model = LogisticRegression().fit(noted, bought(frame))
    assert model.score(noted, bought(frame)) > 0.9


def test_a_column_named_train_is_no_dataset(frame: Any) -> None:
    renamed = frame.rename(columns={"age": "train"})
    assert RBM(n_hidden=3, epochs=1).fit(renamed).n_features_in_ == 7


def test_missing_labels_and_two_columns_of_one_name_are_named(frame: Any) -> None:
    labels = bought(frame).astype(object)
    labels[3] = None
    with pytest.raises(DataError, match="no label in column 'bought' of row 3"):
        load_data(frame, labels)
    twice = pd.DataFrame(np.zeros((9, 2)), columns=["a", "a"])
    with pytest.raises(DataError, match="two columns are named 'a'"):
        load_data(twice, np.arange(9) % 2)
    with pytest.raises(DataError, match="90 rows but 3 labels"):
        load_data(frame, [1, 2, 3])
    with pytest.raises(InputError, match="give one"):
        load_data(frame, bought(frame), label="city")


@pytest.mark.parametrize("name", ["dnn", "logistic", "dsn_regressor", "boosting", "rbm"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
def test_scikit_learns_checks_of_frames(name: str, check: Any) -> None:
    small: dict[str, Any] = {"dnn": {"hidden": (4,), "epochs": 1}, "dsn_regressor": {"n_hidden": 9}}
    small |= {"rbm": {"n_hidden": 3, "epochs": 1}, "boosting": {"max_iter": 2}}
    model = find_family(name)(**small.get(name, {}))
    if "transform" in check.__name__ and not hasattr(model, "transform"):
        return
    check(model.family, model)


# -- scikit-learn's frames out of transform -----------------------------------------------------


def test_transform_gives_frames_where_asked(frame: Any) -> None:
    model = DNN(hidden=(5, 3), epochs=1).set_output(transform="pandas").fit(frame, bought(frame))
    made = model.transform(frame)
    assert list(made.columns) == ["dnn0", "dnn1", "dnn2"] and list(made.index) == list(frame.index)
    assert list(model.transform(frame, layer=1).columns) == [f"dnn_layer1_{k}" for k in range(5)]
    fresh = DNN(hidden=(5, 3), epochs=1).fit(frame, bought(frame))
    assert fresh.get_feature_names_out().tolist() == ["dnn0", "dnn1", "dnn2"]


# -- dates --------------------------------------------------------------------------------------


def test_parts_of_a_date_are_the_calendars(tmp_path: Path) -> None:
    source = np.random.default_rng(3)
    moments = pd.Timestamp("1969-12-01 00:00:00") + pd.to_timedelta(
        source.integers(0, 10**9, 60), unit="s"
    )
    data = load_data(pd.DataFrame({"when": moments, "y": np.arange(60) % 2}))
    column = (data.columns or [])[0]
    assert column.parts == ("year", "month", "weekday", "hour", "elapsed")
    first = moments[data.indices["train"]].min().normalize()
    wanted = [
        (t.year, t.month, t.weekday(), t.hour, (t - first) / pd.Timedelta(days=1)) for t in moments
    ]
    np.testing.assert_allclose(data.inputs, wanted, rtol=1e-6, atol=1e-5)
    assert column.earliest == str(first.date())


def test_samples_of_dates_and_truths_are_written_as_a_table_that_is_read_again(
    frame: Any, tmp_path: Path
) -> None:
    from depthwise.inference.writing import as_file

    whole = frame.dropna()  # medians of a date's parts may be of no date
    data = load_data(whole, bought(whole))
    model = LogisticRegression().fit(data)
    (tmp_path / "made.csv").write_bytes(as_file(".csv", data.test.X, model, None))
    again = load_data(tmp_path / "made.csv", columns=model.columns_, labelled=False, cache=False)
    np.testing.assert_allclose(again.inputs, data.test.X, rtol=1e-4, atol=1e-3)


def test_choose_takes_a_frame_and_its_labels(frame: Any) -> None:
    budget = depthwise.Budget(train_minutes=0.02)
    choice = depthwise.choose((frame, bought(frame)), families=["logistic"], budget=budget)
    assert choice.winner is not None and set(choice.winner.predict(frame)) == {"yes", "no"}


# -- what is told -------------------------------------------------------------------------------


def test_inspect_tells_what_each_column_became(frame: Any) -> None:
    told = str(load_data(frame, bought(frame))).splitlines()
    assert "  label   column 'bought', 2 classes; --label NAME (label=) takes another" in told
    lines = {line.split()[0]: line for line in told if line.startswith("  ") and line.strip()}
    assert "3: Bern, Oslo, Rome" in lines["city"] and "10.0%" in lines["city"]
    assert "1 number" in lines["income"] and "14.4%" in lines["income"]
    assert "0 or 1" in lines["member"] and "4: year, month, weekday, elapsed" in lines["since"]


def inspect(*arguments: Any) -> None:
    from depthwise.cli import main

    with pytest.raises(SystemExit) as end:
        main(["inspect", *map(str, arguments)])
    assert not end.value.code


def test_inspect_of_a_csv_names_its_label_and_tells_programs_of_its_columns(
    frame: Any, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "people.csv"
    frame.assign(bought=bought(frame)).to_csv(path, index=False)
    inspect(path, "--json")
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert [column["name"] for column in columns] == [*frame.columns, "bought"]
    assert columns[2]["features"] == ["city=Bern", "city=Oslo", "city=Rome"]
    assert columns[2]["missing"] == pytest.approx(0.1) and columns[7]["kind"] == "label"
    inspect(path)
    assert "label   column 'bought', 2 classes; --label NAME" in capsys.readouterr().out


def test_values_only_outside_the_training_part_are_told_and_no_features(frame: Any) -> None:
    data = load_data(frame, bought(frame))
    rare = frame.copy()
    rare.loc[data.indices["test"][0], "city"] = "Vaduz"
    again = load_data(rare, bought(frame))
    assert np.array_equal(again.indices["test"], data.indices["test"])
    assert again.inputs.shape == data.inputs.shape
    assert "'Vaduz' in no row of the training part" in str(again)

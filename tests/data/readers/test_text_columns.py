"""Tables of texts by the names of their columns: SICK's own, splits, and what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthwise.data.load import load
from depthwise.data.readers.text_columns import Rows, columns_of
from depthwise.data.readers.text_tables import parse_pairs, parse_texts
from depthwise.errors import DataError, InputError

WORDS = ("warm", "kind", "brave", "quick", "plain", "small", "large", "quiet", "bright", "sharp")
JUDGED = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")
SICK = ("pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment")
WHOLE = (*SICK[:3], "entailment_label", "relatedness_score", "entailment_AB", "entailment_BA",
         "sentence_A_original", "sentence_B_original", "sentence_A_dataset", "sentence_B_dataset",
         "SemEval_set")  # fmt: skip


def sentences(i: int) -> tuple[str, str]:
    return f"A {WORDS[i % 10]} dog runs {i} times", f"The {WORDS[i // 3 % 10]} dog is not {i}"


def sick(n: int, start: int = 0) -> str:
    rows = [SICK]
    for i in range(start, start + n):
        rows.append((str(i), *sentences(i), f"{1 + i % 9 / 2:.1f}", JUDGED[i % 3]))
    return "\n".join("\t".join(row) for row in rows) + "\n"


def test_the_tables_of_sick_are_pairs_and_trial_is_validation(tmp_path: Path) -> None:
    for k, (name, n) in enumerate(
        (("SICK_train", 30), ("SICK_trial", 12), ("SICK_test_annotated", 20))
    ):
        (tmp_path / f"{name}.txt").write_text(sick(n, 100 * k))
    (tmp_path / "readme.txt").write_text("what these are\n")
    data = load(tmp_path, cache=False)
    assert data.task == "pairs" and data.targets is not None
    assert [len(data.indices[part]) for part in ("train", "validation", "test")] == [30, 12, 20]
    assert tuple(data.inputs[0]) == sentences(200) or tuple(data.inputs[0]) == sentences(0)
    (told,) = [problem for problem in data.problems if problem.kind == "columns of texts"]
    assert "relatedness_score" in told.detail and "entailment_judgment" in told.detail
    judged = load(tmp_path, label="entailment_judgment", cache=False)
    assert judged.classes == sorted(JUDGED) and judged.task == "pairs"


def test_the_whole_of_sick_in_one_file_is_split_by_its_column(tmp_path: Path) -> None:
    rows = [WHOLE]
    for i in range(40):
        a, b = sentences(i)
        part = "TRAIN" if i < 20 else "TRIAL" if i < 30 else "TEST"
        rows.append((str(i), a, b, JUDGED[i % 3], f"{1 + i % 9 / 2}", "A_neutral_B", "B_neutral_A",
                     a.lower(), b.lower(), "FLICKR", "FLICKR", part))  # fmt: skip
    (tmp_path / "SICK.txt").write_text("\n".join("\t".join(row) for row in rows))
    data = load(tmp_path / "SICK.txt", label="relatedness_score", cache=False)
    assert [len(data.indices[part]) for part in ("train", "validation", "test")] == [20, 10, 10]
    assert [data.item_name(int(i)) for i in data.indices["test"][:1]] == ["row 32"]
    assert tuple(data.inputs[0]) == sentences(0) and data.targets[0] == 1.0


def news(header: str | None) -> str:
    rows = [f"{i % 2}\tA {WORDS[i % 10]} headline of {i}\tThe {WORDS[i // 4 % 10]} story told {i}"
            for i in range(40)]  # fmt: skip
    return "\n".join([*([header] if header else []), *rows])


def test_title_and_description_are_one_text(tmp_path: Path) -> None:
    (tmp_path / "news.tsv").write_text(news("label\ttitle\tdescription"))
    data = load(tmp_path / "news.tsv", cache=False)
    assert data.task == "text" and data.inputs[0] == "A warm headline of 0 The warm story told 0"
    assert parse_texts(news("label\ttitle\tdescription").encode(), "x.tsv")[0] == data.inputs[0]
    assert any("put together" in problem.detail for problem in data.problems)


def test_text_columns_say_otherwise_by_name_or_number(tmp_path: Path) -> None:
    (tmp_path / "news.tsv").write_text(news(None))
    looked = load(tmp_path / "news.tsv", cache=False)
    assert looked.task == "pairs" and any("--text-columns" in p.detail for p in looked.problems)
    one = load(tmp_path / "news.tsv", text_columns="3", label="1", cache=False)
    assert one.task == "text" and one.inputs[0] == "The warm story told 0"
    joined = load(
        tmp_path / "news.tsv", text_columns=["2", "3"], task="text", label="1", cache=False
    )
    assert joined.inputs[0] == "A warm headline of 0 The warm story told 0"
    (tmp_path / "named.tsv").write_text(news("label\ttitle\tdescription"))
    pair = load(tmp_path / "named.tsv", text_columns="title,description", cache=False)
    assert pair.task == "pairs" and pair.classes == ["0", "1"]


def test_a_table_with_other_columns_stays_a_table(tmp_path: Path) -> None:
    rows = ["title,description,price,label"]
    rows += [f"A {WORDS[i % 10]} thing {i},It is a {WORDS[i // 2 % 10]} one {i},{i},{'ab'[i % 2]}"
             for i in range(40)]  # fmt: skip
    (tmp_path / "shop.csv").write_text("\n".join(rows))
    assert load(tmp_path / "shop.csv", cache=False).kind == "table"
    texts = load(tmp_path / "shop.csv", text_columns="title", cache=False)
    assert texts.task == "text" and texts.classes == ["a", "b"] and len(texts.inputs) == 40


@pytest.mark.parametrize(
    "asked, said",
    [("titel", "no column 'titel'; its columns are label, title"), ("9", "no column '9'"),
     ("title,title", "different columns")],
)  # fmt: skip
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, asked, said) -> None:
    (tmp_path / "news.tsv").write_text(news("label\ttitle\tdescription"))
    with pytest.raises(DataError, match=said):
        load(tmp_path / "news.tsv", text_columns=asked, cache=False)
    with pytest.raises(InputError, match="text_columns is"):
        load(tmp_path / "news.tsv", text_columns="a,,b", cache=False)


def test_a_saved_model_of_pairs_is_asked_by_sick_as_it_is() -> None:
    pairs = parse_pairs(sick(30).encode(), "SICK_trial.txt")
    assert pairs.shape == (30, 2) and tuple(pairs[4]) == sentences(4)


def test_a_letter_that_belongs_to_the_name_stays() -> None:
    cells = [[*sentences(i), "x"] for i in range(12)]
    table = Rows("t", ["data", "schema", "label"], cells)
    assert columns_of(table).texts == [0, 1]


def test_a_model_of_single_texts_is_asked_by_the_columns_that_are_named() -> None:
    table = news(None).encode()
    with pytest.raises(DataError, match=r"two columns of texts.*--text-columns 2,3"):
        parse_texts(table, "new.tsv")
    assert parse_texts(table, "new.tsv", ["3"])[0] == "The warm story told 0"
    both = "A warm headline of 0 The warm story told 0"
    assert parse_texts(table, "new.tsv", ["2", "3"])[0] == both
    assert tuple(parse_pairs(table, "new.tsv", ["3", "2"])[0]) == (
        "The warm story told 0",
        "A warm headline of 0",
    )

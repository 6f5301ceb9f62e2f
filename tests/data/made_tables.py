"""Small tables and texts in every layout that is read, for the lines of docs/data.md."""

from __future__ import annotations

import json

import pytest

WORDS = ("warm", "kind", "brave", "quick", "plain", "small", "large", "quiet", "bright", "sharp")
ROWS = [(f"{k * 7 % 13}.5", ("red", "blue")[k % 3 // 2], "yn"[k % 2]) for k in range(40)]
NAMES = ("size", "colour", "label")


def said(k: int) -> tuple[str, str]:
    """A text that is different each time, and its class."""
    return f"a {WORDS[k % 10]} film of {WORDS[k // 10 % 10]} people number {k}", ("bad", "good")[
        k % 2
    ]


def put(root, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def table(names=NAMES, rows=ROWS, separator=",", end="\n") -> str:
    return "".join(separator.join(row) + end for row in ([names] if names else []) + [*rows])


def records(n: int = 40, start: int = 0) -> list[dict[str, str]]:
    return [dict(zip(("text", "label"), said(k))) for k in range(start, start + n)]


def json_lines(found) -> str:
    return "".join(json.dumps(record) + "\n" for record in found)


def arff() -> str:
    head = "% made by hand\n@RELATION paint\n@attribute size numeric\n"
    return (
        head
        + "@attribute 'the colour' {red, blue}\n"
        + "@ATTRIBUTE label {y,n}\n@data\n"
        + table((), ROWS)
    )


def parquet(root) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    (root / "data").mkdir(parents=True)
    for k, part in enumerate(("train", "train", "test")):
        name = f"data/{part}-0000{k % 2}-of-0000{2 if part == 'train' else 1}.parquet"
        files.write_table(pa.Table.from_pylist(records(40, 40 * k)), root / name)


def excel(root) -> None:
    book = pytest.importorskip("openpyxl").Workbook()
    book.active.append([*NAMES])
    for size, colour, label in ROWS:
        book.active.append([float(size), colour, label])
    book.save(root / "paint.xlsx")


def text_folders(root) -> None:
    for part in ("train", "test"):
        for k in range(40):
            text, label = said(k + 40 * (part == "test"))
            put(root, f"aclImdb/{part}/{('neg', 'pos')[label == 'good']}/{k}_7.txt", text)
        put(root, f"aclImdb/{part}/urls_pos.txt", "one\ntwo\n")
    put(root, "aclImdb/train/unsup/0_0.txt", "nobody has said what this is")
    put(root, "aclImdb/README", "what these are, and by whom")


def newsgroups(root) -> None:
    for k in range(60):
        group = ("sci.space", "rec.autos")[k % 2]
        part = "train" if k < 40 else "test"
        text = f"From: someone\nSubject: {said(k)[0]} caf\u00e9\n".encode("latin-1")
        put(root, f"20news-bydate-{part}/{group}/{60000 + k}", text)


def described(root) -> None:
    lines = []
    for k in range(40):
        text, label = said(k)
        put(root, f"texts/{k}.txt", text)
        lines.append({"file_name": f"texts/{k}.txt", "label": label})
    put(root, "metadata.jsonl", json_lines(lines))


def prices() -> str:
    rows = [(f"{k * 7 % 23},5", f"{1 + k % 4}.{k * 37 % 1000:03},00 \u20ac") for k in range(80)]
    return table(("size", "price"), rows, ";")


def pairs() -> str:
    rows = [(said(k)[0], said(k + 3)[0], f"{k % 11 / 2}") for k in range(60)]
    return table(("sentence1", "sentence2", "score"), rows, "\t")


def ids() -> str:
    rows = [(str(900 + k), *said(k), ("web", "news")[k % 3 // 2]) for k in range(40)]
    return table(("id", "text", "label", "source"), rows)


TABLE_MAKERS = {
    "a table with a label": lambda root: put(root, "paint.csv", table()),
    "a table without a line of names": lambda root: put(root, "paint.data", table(())),
    "a table of a spreadsheet": lambda root: put(root, "prices.csv", "sep=;\n" + prices()),
    "a table with white space": lambda root: put(
        root, "seeds.txt", table((), [(a, f"{k % 5}.25", str(k % 2)) for k, (a, *_) in
                                      enumerate(ROWS)], "   ")),
    "a table of numpy's": lambda root: put(root, "numbers.csv", "# size,n,label\n" + table((), [
        (a, f"{k % 5}.25", str(k % 2)) for k, (a, *_) in enumerate(ROWS)])),
    "tables of a split": lambda root: [put(root, f"{part}.csv", table())
                                       for part in ("train", "test")],
    "JSON": lambda root: put(root, "paint.json", json.dumps([dict(zip(NAMES, row))
                                                             for row in ROWS])),
    "a JSON object a line": lambda root: [
        put(root, f"{part}.jsonl", json_lines(records(40, start)))
        for part, start in (("train", 0), ("test", 40))],
    "Parquet, as Hugging Face has it": parquet,
    "Excel": excel,
    "ARFF": lambda root: put(root, "paint.arff", arff()),
    "a table of texts": lambda root: put(root, "reviews.tsv", table(("text", "label"),
                                                                    [said(k) for k in range(40)],
                                                                    "\t")),
    "a table of texts with more": lambda root: put(root, "reviews.csv", ids()),
    "a table of pairs": lambda root: put(root, "pairs.tsv", pairs()),
    "a folder a class of texts": text_folders,
    "the same without suffixes": newsgroups,
    "texts and what is said of them": described,
    "prose": lambda root: put(root, "book.txt", "".join(said(k)[0] + ".\n" for k in range(90))),
}  # fmt: skip

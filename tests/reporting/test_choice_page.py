"""The page as the standard library's HTML parser sees it, which is what a browser would see."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from depthwise.errors import InputError
from depthwise.reporting.choice_page import render_report, write_report
from made_record import make_record, nothing_fits, of_the_data

VOID = {"meta", "img", "br", "link", "path", "use"}
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Tags with their attributes, text by enclosing tag, and whether every tag was closed."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.badly_nested: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.badly_nested.append(tag)

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words += data

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


@pytest.fixture(scope="module")
def text() -> str:
    return render_report(make_record())


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_every_tag_is_closed_and_every_id_is_unique(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert page.badly_nested == [] and page.open == []
    assert len(ids) == len(set(ids)) > 100


def test_the_page_asks_the_network_for_nothing_and_runs_nothing(text, page):
    assert not {"script", "link", "iframe", "object", "form", "base"} & {t for t, _ in page.tags}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "action"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/png;base64,", "#")), (tag, name)
    assert "@import" not in text


def test_the_verdict_names_the_winner_its_test_accuracy_latency_size_energy_and_limits(page):
    for said in (
        "Ship cnn-m",
        "97.0% (95% interval 95.0–99.1) of 270 test items",
        "answers in 0.620 ms, weighs 0.560 MB and spends about 3.10 mJ an item",
        "latency at most 2 ms and size at most 1 MB",
    ):
        assert said in page.text


def test_every_candidate_is_there_with_its_status_and_reason(page):
    for candidate in make_record()["candidates"]:
        assert candidate["name"] in page.text
        assert f"{candidate['status']} {candidate['reason']}" in page.text


def test_a_column_of_parameters_appears_only_where_they_are_limited():
    record = make_record()
    assert "Parameters" not in Page(render_report(record)).text
    record["budget"]["parameters"] = 78_000
    shown = Page(render_report(record)).text
    assert "Parameters" in shown and "≤ 78,000" in shown and "140,000" in shown


def test_a_choice_that_nothing_fits_says_so_and_which_limit_to_relax():
    page = Page(render_report(nothing_fits()))
    assert "Nothing fits" in page.text
    assert "Relax it: --max-latency-ms 0.042." in page.text
    assert "Its mistakes" not in page.text and "Where " not in page.text


def test_hostile_names_are_shown_and_not_run():
    record = make_record()
    record["dataset"].update(name=HOSTILE, classes=[HOSTILE] * 10, source=HOSTILE)
    record["dataset"]["problems"][0].update(kind=HOSTILE, where=HOSTILE, detail=HOSTILE)
    record["mistakes"][0].update(truth=HOSTILE, predicted=HOSTILE)
    record["device"]["name"] = record["command"] = HOSTILE
    record["candidates"][0].update(name=HOSTILE, reason=HOSTILE)
    record["winner"] = HOSTILE
    page = Page(render_report(record))
    assert page.text.count(HOSTILE) > 10
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_class_names_that_look_like_mathematics_or_hold_escapes_are_drawn_as_they_are():
    record = make_record()
    record["dataset"]["classes"] = [r"$\frac{", "a\x1b[31mred", "猫", "\udcff", *"456789"]
    text = render_report(record)
    assert "猫" in text and r"$\frac{" in text
    assert "\x1b" not in text and text.encode("utf-8")


def test_charts_take_the_colours_of_the_page_and_keep_their_letters_as_text(text):
    svgs = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(svgs) == 4
    for svg in svgs:
        assert "var(--ink)" in svg and "#01010" not in svg and "<text" in svg
    assert "prefers-color-scheme: dark" in text


def test_every_chart_and_picture_has_words_for_those_who_cannot_see_it(page):
    images = [a for tag, a in page.tags if tag == "img" or a.get("role") == "img"]
    assert len(images) == 4 + 7
    assert all(a.get("alt") or a.get("aria-label") for a in images)
    assert all("scope" in a for tag, a in page.tags if tag == "th")


def test_pictures_of_mistakes_are_whole_pngs(page):
    sources = [a["src"] for tag, a in page.tags if tag == "img"]
    for source in sources:
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(data)).size == (8, 8)


def test_the_same_record_gives_the_same_bytes_in_one_file_beside_nothing_else(text, tmp_path):
    path = write_report(make_record(), tmp_path / "new" / "report.html")
    assert path.read_bytes() == text.encode("utf-8")
    assert list((tmp_path / "new").iterdir()) == [path]


def test_a_record_with_only_untried_candidates_still_makes_a_page():
    record = nothing_fits()
    for candidate in record["candidates"]:
        candidate.update(scorecard=None, status="untried")
    record.update(nearest_miss=None, device=None, versions=None)
    assert "Nothing fits" in Page(render_report(record)).text


def test_an_interrupted_run_says_that_it_was():
    record = {**make_record(), "complete": False}
    assert "interrupted" in Page(render_report(record)).text


def test_a_folder_in_the_place_of_the_report_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        write_report(nothing_fits(), tmp_path)
    assert list(tmp_path.parent.glob(".*tmp*")) == []


def test_a_file_in_the_place_of_the_folder_is_one_clear_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_report(nothing_fits(), tmp_path / "out" / "report.html")


def test_a_table_of_data_has_mistakes_without_pictures():
    record = make_record()
    record["dataset"].update(kind="table", input_shape=[64])
    for mistake in record["mistakes"]:
        mistake["png"] = None
    page = Page(render_report(record))
    assert "img" not in {tag for tag, _ in page.tags}
    assert "said 3, is 2" in page.text


def test_items_are_called_by_their_files_and_in_old_records_by_their_numbers():
    record = make_record()
    record["mistakes"][0]["name"] = "dogs/<b>7</b>.jpg"
    record["pictures"] = {"answers": record["mistakes"][0]["png"]}
    record["answered"] = ["dogs/1.jpg", "cats/2.jpg"]
    page = Page(render_report(record))
    assert "% sure · dogs/<b>7</b>.jpg" in page.text and "% sure · item 101" in page.text
    assert "what it says of them: dogs/1.jpg, cats/2.jpg" in page.text


# -- models of the data itself -----------------------------------------------------------------


@pytest.fixture(scope="module", params=["generate", "anomaly"])
def of_data(request) -> tuple[str, Page]:
    return request.param, Page(render_report(of_the_data(request.param)))


def test_the_score_of_the_task_heads_columns_highlights_axes_and_captions(of_data):
    task, page = of_data
    name = {"generate": "Log-likelihood", "anomaly": "AUROC"}[task]
    assert f"{name} bought with latency" in page.text
    assert f"{name} here is on the validation part" in page.text
    assert "ccuracy" not in page.text and "accurate" not in page.text
    assert ("log-likelihood, nats" in page.text) == (task == "generate")


def test_the_verdict_and_the_highlights_tell_the_score(of_data):
    task, page = of_data
    said = {"generate": "-86.1 nats (95% interval ±0.7)", "anomaly": "0.985 (95% interval"}[task]
    assert said in page.text
    highlight = {"generate": "log-likelihood-86.1 nats", "anomaly": "AUROC0.985"}[task]
    assert highlight in page.text


def test_data_without_labels_has_neither_classes_nor_mistakes_nor_learning_curves(of_data):
    _, page = of_data
    assert "labels" in page.text and "none: the data itself is learnt" in page.text
    assert "Its mistakes" not in page.text and "0 classes" not in page.text
    assert "Learning, candidate by candidate" not in page.text
    assert page.badly_nested == [] and page.open == []


def test_pictures_are_shown_as_whole_pngs_with_words(of_data):
    _, page = of_data
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 3 and all(len(a["alt"]) > 20 for a in images)
    for attributes in images:
        data = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(data)).size == (8, 8)
    for words in ("What it has learnt", "Samples", "Reconstructions", "Filters"):
        assert words in page.text


def test_a_classifiers_filters_are_shown_and_what_is_missing_is_not():
    record = make_record()
    record["pictures"] = {"filters": of_the_data("generate")["pictures"]["filters"]}
    page = Page(render_report(record))
    assert "Filters" in page.text and "Samples" not in page.text
    record["pictures"] = {"filters": None, "samples": None, "reconstructions": None}
    assert "What it has learnt" not in Page(render_report(record)).text


def test_other_candidates_pictures_are_named_and_end_where_the_page_is_full():
    record = of_the_data("generate")
    record["candidates"][1]["pictures"] = {"samples": record["pictures"]["samples"]}
    record["candidates"][2]["pictures"] = {"samples": "A" * 2_000_000}
    text = render_report(record)
    assert "Samples of dbm-m" in Page(text).text
    assert "Samples of autoencoder-xs" not in Page(text).text and len(text) < 2_000_000

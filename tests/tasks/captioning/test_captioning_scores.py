"""Scores of captions against sacrebleu, brute force, and sums done by hand."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.tasks.captioning.scores import (
    bleu,
    caption_report,
    caption_words,
    cider,
    longest_common,
    plain_caption,
    rouge_l,
)

words = st.lists(st.sampled_from(["a", "dog", "cat", "runs", "red", "on"]), min_size=1, max_size=9)
corpora = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=4)), min_size=1)


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A dog's toy , red-and-blue .", "a dog s toy red and blue"),
        ("", ""),
        ("...", ""),
        ("Собака 🐕 2", "собака 🐕 2"),
        ("\ud800 x", "\ud800 x"),
    ],
)
def test_words_are_lower_case_without_marks(text: str, found: str) -> None:
    assert " ".join(caption_words(text)) == found


def test_each_character_of_an_undivided_script_is_a_word() -> None:
    assert caption_words("一只狗。") == list("一只狗")


@given(st.text(st.characters(exclude_categories=())))
def test_a_plain_caption_is_plain_already(text: str) -> None:
    once = plain_caption(text)
    assert caption_words(once) == caption_words(text)
    assert once == once.strip()


# -- BLEU -----------------------------------------------------------------------------------------


@given(corpora)
@settings(deadline=None, max_examples=40)
def test_bleu_is_sacrebleus(corpus: list[tuple[list[str], list[list[str]]]]) -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs pip install sacrebleu")
    captions = [" ".join(caption) for caption, _ in corpus]
    most = max(len(said) for _, said in corpus)
    streams = [  # the first reference again where there are fewer, which changes nothing
        [" ".join(said[k] if k < len(said) else said[0]) for _, said in corpus] for k in range(most)
    ]
    theirs = sacrebleu.corpus_bleu(
        captions, streams, tokenize="none", smooth_method="none", force=True
    )
    ours = bleu([caption for caption, _ in corpus], [said for _, said in corpus])
    assert ours == pytest.approx(theirs.score / 100, abs=1e-9)


def test_bleu_by_hand() -> None:
    """the cat sat on mat | the cat sat on the mat: 5/5 3/4 2/3 1/2, brevity exp(1 - 6/5)."""
    own, said = ["the", "cat", "sat", "on", "mat"], ["the", "cat", "sat", "on", "the", "mat"]
    assert bleu([own], [[said]]) == pytest.approx(0.25**0.25 * math.exp(-0.2))
    assert bleu([said], [[own, said]]) == 1


def test_a_repeated_word_counts_as_often_as_a_reference_has_it() -> None:
    """Papineni's "the the the the the the the": 2 of 7 words, and no pair."""
    own = ["the"] * 7
    said = [s.split() for s in ("the cat is on the mat", "there is a cat on the mat")]
    report = caption_report([" ".join(own)], [[" ".join(s) for s in said]])
    assert bleu([own], [said]) == report["value"] == 0


# -- ROUGE-L --------------------------------------------------------------------------------------


def by_trying(a: list[str], b: list[str]) -> int:
    """The longest subsequence of a that b has, by trying all."""
    for size in range(len(a), 0, -1):
        for chosen in itertools.combinations(a, size):
            rest = iter(b)
            if all(word in rest for word in chosen):
                return size
    return 0


@given(words, words)
@settings(deadline=None)
def test_the_longest_common_subsequence_is_that_of_brute_force(a: list[str], b: list[str]) -> None:
    assert longest_common(a, b) == longest_common(b, a) == by_trying(a, b)


def test_rouge_by_hand() -> None:
    """police killed the gunman | police kill the gunman: lcs 3 of 4 and 4, so P = R = F = 3/4."""
    own, said = ["police", "killed", "the", "gunman"], ["police", "kill", "the", "gunman"]
    assert rouge_l([own], [[said]]).tolist() == [pytest.approx(0.75)]
    # of two references the better: P = 1 from the second, R = 4/5
    longer = [*own, "today"]
    expected = (1 + 1.44) * 1 * 0.8 / (0.8 + 1.44)
    assert rouge_l([own], [[said, longer]])[0] == pytest.approx(expected)
    assert rouge_l([[], ["x"]], [[said], [said]]).tolist() == [0, 0]


# -- CIDEr ----------------------------------------------------------------------------------------


def cider_by_matrices(corpus: list[tuple[list[str], list[list[str]]]], plain: bool) -> np.ndarray:
    """The definition with dense vectors over all runs there are."""
    found = np.zeros(len(corpus))
    for n in range(1, 5):

        def cut(sentence: list[str], n: int = n) -> list[str]:
            return [" ".join(sentence[i : i + n]) for i in range(len(sentence) - n + 1)]

        every = sorted({g for c, said in corpus for s in [c, *said] for g in cut(s)})
        in_image = np.array(
            [[any(g in cut(s) for s in said) for g in every] for _, said in corpus]
        ).reshape(len(corpus), len(every))
        w = np.log(len(corpus) / np.maximum(1, in_image.sum(axis=0)))
        for i, (caption, said) in enumerate(corpus):
            v = np.array([cut(caption).count(g) for g in every]) * w
            scores = []
            for s in said:
                u = np.array([cut(s).count(g) for g in every]) * w
                top = (v if plain else np.minimum(v, u)) @ u
                bottom = np.linalg.norm(v) * np.linalg.norm(u)
                gauss = 1.0 if plain else math.exp(-((len(caption) - len(s)) ** 2) / 72)
                scores.append(top / bottom * gauss if bottom else 0.0)
            found[i] += 10 * np.mean(scores) / 4
    return found


@given(corpora, st.booleans())
@settings(deadline=None, max_examples=50)
def test_cider_is_its_definition(corpus: list, plain: bool) -> None:
    ours = cider([c for c, _ in corpus], [said for _, said in corpus], plain)
    np.testing.assert_allclose(ours, cider_by_matrices(corpus, plain), atol=1e-9)


def test_cider_by_hand() -> None:
    """Two images, all runs of the first in it alone: w = ln 2 throughout, which cancels. Caption
    a b against a c: of words 1/2, of pairs none; so 10/4 (1/2). The same sentence: 10 for
    each n that it has, 10/4 (1 + 1)."""
    said = [[["a", "c"]], [["x", "y"]]]
    got = cider([["a", "b"], ["x", "y"]], said)
    np.testing.assert_allclose(got, [1.25, 5.0])
    # twice as long: cosine of (2, 1) with (1, 0) cut to 1 / sqrt 5, lengths 1 word apart
    longer = cider([["a", "a", "b"], ["x", "y"]], [[["a", "c"]], [["x", "y"]]])
    assert longer[0] == pytest.approx(10 / 4 * (1 / math.sqrt(10)) * math.exp(-1 / 72))
    plain = cider([["a", "a", "b"], ["x", "y"]], [[["a", "c"]], [["x", "y"]]], plain=True)
    assert plain[0] == pytest.approx(10 / 4 * 2 / math.sqrt(10))


# -- together -------------------------------------------------------------------------------------


def test_a_report_holds_its_scores_within_their_intervals() -> None:
    rng = np.random.default_rng(0)
    some = ["a", "the", "dog", "cat", "man", "runs", "sits", "on", "red", "grass"]

    def sentence() -> str:
        return " ".join(rng.choice(some, rng.integers(4, 9)))

    said = [[sentence() for _ in range(3)] for _ in range(40)]
    captions = [of[0] if i % 2 else sentence() for i, of in enumerate(said)]
    report = caption_report(captions, said)
    assert report["items"] == 40
    assert report["low"] < report["value"] < report["high"]
    for name in ("rouge_l", "cider", "cider_plain"):
        low, high = report[f"{name}_interval"]
        assert low < report[name] < high
    tokens = [caption_words(c) for c in captions], [[caption_words(s) for s in of] for of in said]
    assert report["value"] == bleu(*tokens)
    assert report == caption_report(captions, said)
    json.dumps(report, allow_nan=False)


def test_perfect_and_empty_captions_have_the_ends_of_the_scale() -> None:
    said = [["a red square on grass"], ["two dogs run in snow"]]
    perfect = caption_report([of[0] for of in said], said)
    assert perfect["value"] == perfect["rouge_l"] == 1
    assert perfect["cider"] == pytest.approx(10)
    nothing = caption_report(["", "..."], said)
    assert nothing["value"] == nothing["rouge_l"] == nothing["cider"] == 0

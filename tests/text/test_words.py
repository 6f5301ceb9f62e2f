"""Words: how text is cut into them, and what is kept of those that are not known."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from depthwise.text.words import FIRST, START, UNKNOWN, Words, learn_words, runs, words_of


def test_words_are_cut_as_by_hand() -> None:
    assert list(words_of("Don't stop, né_2!")) == ["don", "'", "t", "stop", ",", "né_2", "!"]
    assert list(words_of("東京 tower 🙂🙂")) == ["東", "京", "tower", "🙂", "🙂"]
    assert list(words_of(" \t\n")) == []


def test_runs_are_words_then_neighbours_with_the_beginning_marked() -> None:
    assert list(runs(["who", "is", "it"], 2)) == ["who", "is", "it", "^ who", "who is", "is it"]
    assert list(runs([], 2)) == []
    assert list(runs(["a"], 3)) == ["a", "^ a"]


def test_the_frequent_come_first_and_the_rare_leave_their_endings() -> None:
    """By texts they occur in: cat 3, dog 2; running, jumping 1 each, "~ing" together 2."""
    words = learn_words(["cat cat dog", "dog cat running", "cat jumping"], 10, least=2)
    assert words.pieces == ["cat", "dog", "~ing"]
    told = words.encode("The CAT, sleeping", 99)
    assert told == [START, UNKNOWN, FIRST, UNKNOWN, FIRST + 2]


def test_runs_are_told_once_each() -> None:
    words = learn_words(["a b a b"], 10, longest=2)
    names = [words.pieces[token - FIRST] for token in words.encode("a b a b c", 99)[1:]]
    assert names == ["a", "b", "^ a", "a b", "b a"]


@given(text=st.text(st.characters()), most=st.integers(0, 9))
@example("\ud800\udfff \0 👩‍👩‍👧 ﷽", 5)
@example("", 3)
@settings(max_examples=60, deadline=None)
def test_any_text_has_tokens_of_the_vocabulary(text: str, most: int) -> None:
    for longest in (1, 2):
        words = learn_words([text, "a b"], 50, longest=longest)
        tokens = words.encode(text, most)
        assert tokens[0] == START
        assert all(0 < token < words.size for token in tokens)
        if longest == 1:
            assert len(tokens) <= most + 1
        again = Words.from_plain(json.loads(json.dumps(words.to_plain())))
        assert again.encode(text, most) == tokens


@pytest.mark.parametrize(
    "plain",
    [
        {"pieces": ["a", "a"], "longest": 1},
        {"pieces": [1], "longest": 1},
        {"pieces": ["a"], "longest": 0},
        {"pieces": ["a"], "longest": 10**9},
        {"pieces": ["a"]},
        {"pieces": None, "longest": 1},
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Words.from_plain(plain)

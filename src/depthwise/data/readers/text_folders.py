"""A folder a class of text files, as IMDB's reviews and the 20 newsgroups come.

    pos/0_9.txt, neg/1_2.txt                       a folder a class
    aclImdb/train/pos/0_9.txt, test/neg/1_2.txt    the same in each part of a split
    20news-bydate-train/sci.space/60191            files without a suffix

A file is a text. Files above the class folders (README, lists) and folders of texts without a class
(unsup) are left out, and told.

Shapes: N texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.pictures.images import looks_like_picture
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw, encode_labels
from depthwise.data.readers.pictures import Placed, placed
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.data.tables.delimited import decoded
from depthwise.errors import DataError

__all__ = ["has_text_folders", "read"]

SUFFIXES = (".txt", ".text")
WITHOUT_CLASS = ("unsup", "unlabelled", "unlabeled", "unsupervised")
FEWEST_A_CLASS = 2  # files on average, or they are books
LOOKED_AT = 20  # files


def has_text_folders(tree: Tree) -> bool:
    """Whether most files are texts in two class folders or more."""
    names = _texts(tree)
    if 2 * len(names) <= len(tree.sizes):  # a text beside each picture is no class of texts
        return False
    found, _ = placed(names, "text")
    classes = {item.class_name for item in found} - {""}
    if len(classes) < 2 or len(found) < FEWEST_A_CLASS * len(classes):
        return False
    return all(_is_text(tree, name) for name in names[:LOOKED_AT])


def _texts(tree: Tree) -> list[str]:
    """The text files in folders, as deep as most of them are."""
    names = [name for name in tree.sizes if "/" in name and _may_be_text(name)]
    depths = Counter(name.count("/") for name in names)
    deep = max(depths, key=lambda depth: (depths[depth], depth), default=0)
    return [n for n in names if n.count("/") == deep and not _is_without_class(n)]


def _may_be_text(name: str) -> bool:
    """Whether the suffix allows text: .txt, none (newsgroups) or a number."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in SUFFIXES or not suffix or suffix[1:].isdigit()


def _is_without_class(name: str) -> bool:
    return any(folder.lower() in WITHOUT_CLASS for folder in PurePosixPath(name).parts[:-1])


def _is_text(tree: Tree, name: str) -> bool:
    head = tree.head(name)
    return b"\0" not in head and not looks_like_picture(head)


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError where no folder has texts, and for a file that is no text."""
    names = _texts(tree)
    found, stray = placed(names, "text")
    if not found:
        raise DataError(f"{tree.where} holds no folders of text files, one for each class.")
    said, told = _said(tree, found)
    kept = [item for item, text in zip(found, said) if text]
    empty = [item.name for item, text in zip(found, said) if not text]
    texts = np.empty(len(kept), object)
    texts[:] = [text for text in said if text]
    codes, classes = encode_labels(np.array([item.class_name for item in kept]), tree.where)
    parts = None
    if any(item.part is not None for item in kept):
        parts = np.array([item.part or 0 for item in kept], np.int8)
    aside = [name for name in tree.sizes if name not in {*names}]
    problems = [
        *tree.problems,
        *stray,
        *left_out("file beside the texts", aside, "of no class, left out"),
        *left_out("empty text", empty, "left out"),
        *told,
    ]
    raw = Raw("text", texts, codes, classes, parts, problems, task="text")
    raw.names = [item.name for item in kept]
    return raw


def _said(tree: Tree, found: Sequence[Placed]) -> tuple[list[str], list[Problem]]:
    """What each file says, and how many are no UTF-8."""
    texts, western = [], []
    for item in found:
        text, told = decoded(tree.read(item.name), item.name)
        texts.append(text.strip())
        western += [item.name] * len(told)
    detail = "no UTF-8: read as Windows-1252 (Latin-1)"
    return texts, left_out("encoding", western, detail)

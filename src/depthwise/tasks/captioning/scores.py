"""How near captions c_i come to what people said of the same images, s_i1 .. s_im.

BLEU-4, of all captions together (Papineni et al. 2002):

    BLEU  = BP (p_1 p_2 p_3 p_4)^(1/4),    BP = min(1, exp(1 - r / c))
    p_n   = sum_i sum_g min(count_i(g), max_j count_ij(g)) / sum_i sum_g count_i(g)

g: runs of n words; c: words of all captions; r: of each, the reference nearest in length.

ROUGE-L, mean over images (Lin 2004), from the longest common subsequence, b = 1.2:

    F = (1 + b^2) P R / (R + b^2 P),    P = max_j lcs_ij / |c_i|,  R = max_j lcs_ij / |s_ij|

CIDEr, mean over images (Vedantam, Zitnick and Parikh 2015): cosines of counts weighed by how rare
a run is, w(g) = ln(N / images with a reference that has it),

    CIDEr   = 10/4 sum_n 1/m sum_j  v_i . v_ij / (|v_i| |v_ij|),         v(g) = count(g) w(g)
    CIDEr-D = 10/4 sum_n 1/m sum_j  min(v_i, v_ij) . v_ij / (|v_i| |v_ij|)
                                    exp(-(|c_i| - |s_ij|)^2 / 72)

CIDEr-D is what captioning papers print as CIDEr, since the COCO server computes it; the factor 10
is theirs too. Nothing is stemmed. Words: lower case, letters and digits that stand together; marks
are left out, as the COCO server does; each character of a script without spaces is a word.

Intervals are of 95% by drawing images with replacement (Efron 1979); rarities stay as they are.

Shapes: N images, M references of an image.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise.text.words import words_of

__all__ = ["bleu", "caption_report", "caption_words", "cider", "plain_caption", "rouge_l"]

ORDERS = 4
ROUGE_BETA = 1.2
CIDER_SIGMA, CIDER_SCALE = 6.0, 10.0
DRAWS = 1000  # of the bootstrap
Words = Sequence[str]


def plain_caption(text: str) -> str:
    """In lower case, without marks, words apart by one space."""
    spaced = "".join(" " if unicodedata.category(c)[0] == "P" else c for c in text.lower())
    return " ".join(spaced.split())


def caption_words(text: str) -> list[str]:
    """What scores compare."""
    return list(words_of(plain_caption(text)))


def runs(words: Words, n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


# -- BLEU -----------------------------------------------------------------------------------------


def bleu(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """BLEU-4 of N captions, each with its references; 0 where no run of four words is right."""
    return float(_bleu_of(bleu_counts(captions, references).sum(axis=0)))


def bleu_counts(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """(N, 10): for n = 1 .. 4 runs that are right and runs in all, then c and r."""
    return np.array([_counts_of(c, s) for c, s in zip(captions, references, strict=True)])


def _counts_of(caption: Words, references: Sequence[Words]) -> list[int]:
    row = []
    for n in range(1, ORDERS + 1):
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= runs(reference, n)
        own = runs(caption, n)
        row += [(own & most).total(), own.total()]
    nearest = min(map(len, references), key=lambda size: (abs(size - len(caption)), size))
    return [*row, len(caption), nearest]


def _bleu_of(counts: np.ndarray) -> np.ndarray:
    """(..., 10) sums -> (...)."""
    right, every = counts[..., 0:8:2], counts[..., 1:8:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(every > 0, right / np.maximum(every, 1), 0.0)
        brevity = np.minimum(0.0, 1 - counts[..., 9] / np.maximum(counts[..., 8], 1))
        return np.asarray(np.exp(np.log(precision).mean(axis=-1) + brevity))


# -- ROUGE-L --------------------------------------------------------------------------------------


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """(N,), one for each image."""
    return np.array([_rouge_of(c, s) for c, s in zip(captions, references, strict=True)])


def _rouge_of(caption: Words, references: Sequence[Words]) -> float:
    common = [longest_common(caption, reference) for reference in references]
    precision = max(common) / max(1, len(caption))
    recall = max(size / max(1, len(s)) for size, s in zip(common, references, strict=True))
    weight = ROUGE_BETA**2
    bottom = recall + weight * precision
    return (1 + weight) * precision * recall / bottom if bottom else 0.0


def longest_common(a: Words, b: Words) -> int:
    """Words of the longest subsequence that both have, row by row."""
    above = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
        above = row
    return above[-1]


# -- CIDEr ----------------------------------------------------------------------------------------


def cider(
    captions: Sequence[Words], references: Sequence[Sequence[Words]], plain: bool = False
) -> np.ndarray:
    """(N,) CIDEr-D, one for each image; or, `plain`, CIDEr without its two corrections."""
    total = np.zeros(len(captions))
    for n in range(1, ORDERS + 1):
        said = [[runs(s, n) for s in of_image] for of_image in references]
        rarity = _rarity(said)
        for i, caption in enumerate(captions):
            own = _Weighed(runs(caption, n), rarity, len(references), len(caption))
            total[i] += np.mean(
                [
                    own.likeness(_Weighed(s, rarity, len(references), len(words)), plain)
                    for s, words in zip(said[i], references[i], strict=True)
                ]
            )
    return CIDER_SCALE / ORDERS * total


def _rarity(said: Sequence[Sequence[Counter[tuple[str, ...]]]]) -> dict[tuple[str, ...], float]:
    """w of every run that a reference has."""
    images = Counter(run for of_image in said for run in set().union(*of_image))
    return {run: math.log(len(said) / count) for run, count in images.items()}


class _Weighed:
    """v, its length, and the words of its sentence."""

    def __init__(
        self,
        counts: Counter[tuple[str, ...]],
        rarity: dict[tuple[str, ...], float],
        images: int,
        words: int,
    ):
        unseen = math.log(max(1, images))
        self.values = {run: count * rarity.get(run, unseen) for run, count in counts.items()}
        self.norm = math.sqrt(sum(value**2 for value in self.values.values()))
        self.words = words

    def likeness(self, other: _Weighed, plain: bool) -> float:
        if not (self.norm and other.norm):
            return 0.0
        shared = self.values.keys() & other.values.keys()
        theirs = other.values
        if plain:
            dot = sum(self.values[run] * theirs[run] for run in shared)
            return dot / (self.norm * other.norm)
        dot = sum(min(self.values[run], theirs[run]) * theirs[run] for run in shared)
        apart = (self.words - other.words) ** 2 / (2 * CIDER_SIGMA**2)
        return dot / (self.norm * other.norm) * math.exp(-apart)


# -- together -------------------------------------------------------------------------------------


def caption_report(
    captions: Sequence[str], references: Sequence[Sequence[str]], seed: int = 0
) -> dict[str, Any]:
    """{"value": BLEU-4, "low", "high", "items", "per_class": {}, "rouge_l", "cider" (CIDEr-D),
    "cider_plain", and the intervals [low, high] of these three}."""
    own = [caption_words(text) for text in captions]
    said = [[caption_words(text) for text in of_image] for of_image in references]
    counts = bleu_counts(own, said)
    drawn = np.random.default_rng(seed).integers(0, len(own), (DRAWS, len(own)))
    bleus = np.array([_bleu_of(counts[rows].sum(axis=0)) for rows in drawn])
    report: dict[str, Any] = {"value": float(_bleu_of(counts.sum(axis=0)))}
    report["low"], report["high"] = _middle(bleus)
    report |= {"items": len(own), "per_class": {}}
    scores = {
        "rouge_l": rouge_l(own, said),
        "cider": cider(own, said),
        "cider_plain": cider(own, said, plain=True),
    }
    for name, each in scores.items():
        report[name] = float(each.mean())
        report[f"{name}_interval"] = list(_middle(each[drawn].mean(axis=1)))
    return report


def _middle(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)

"""An example of every entry of the catalogue: tiny settings, tiny made-up data, what to ask it.

`EXAMPLES` has one row an entry, `VARIANTS` others that take a way of their own through the code
(a frozen backbone, no labels, two sentences read together). What a test does with it (fit, save,
load, ask) is the same for all, whatever the task; nothing is learnt here that would be worth
knowing. What was answered to these questions by earlier versions is kept in written_before/: an
answer may be added, but those that are there stay as they are.

Shapes: N items, C channels, H W image, T frames, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from depthwise.catalog import find_family

__all__ = ["EXAMPLES", "VARIANTS", "Answers", "Example"]

Answers = dict[str, np.ndarray]  # by the method that gave them; an item's one after another
Data = tuple[Any, Any]  # items, and what belongs to each

WORDS = [
    "red",
    "green",
    "blue",
    "cat",
    "dog",
    "bird",
    "runs",
    "sleeps",
    "sings",
    "here",
    "there",
    "often",
]
NETWORK = {"epochs": 3, "batch_size": 8, "device": "cpu", "precision": "float32", "threads": 1}


@dataclass(frozen=True)
class Example:
    """One entry of the catalogue in small.

    settings: of its constructor; data: items and targets, by a seed; answers: what a fitted model
    says of items. wrong: data that it cannot learn from, and a part of the message that says so.
    drawn: answers for which a model draws, with its own seed. afterwards: what is done with
    a fitted model before it is asked. singly: whether the answer to
    an item is the same in any company; what: of a variant, what sets it apart.
    """

    name: str
    settings: dict[str, Any]
    data: Callable[[int], Data]
    answers: Callable[[Any, Any], Answers]
    wrong: Callable[[], tuple[Any, Any, str]]
    drawn: Callable[[Any, Any], Answers] = lambda model, X: {}
    afterwards: Callable[[Any], object] = lambda model: None
    singly: bool = True
    what: str = ""

    def make(self, **changes: Any) -> Any:
        """An unfitted model."""
        return find_family(self.name)(**{**self.settings, **changes})

    def fit(self, **options: Any) -> Any:
        """A model fitted on `data(0)`; options: of `fit`."""
        model = self.make().fit(*self.data(0), **options)
        self.afterwards(model)
        return model

    def items(self, n: int = 5) -> Any:
        """n items that were not learnt from."""
        return self.data(1)[0][:n]

    def by_one(self, model: Any, items: Sequence[Any]) -> Answers:
        """The answers to items of which each is asked about alone."""
        each = [self.answers(model, items[i : i + 1]) for i in range(len(items))]
        return {key: np.concatenate([answers[key] for answers in each]) for key in each[0]}


# -- data -----------------------------------------------------------------------------------------


def labelled_images(seed: int) -> Data:
    """uint8 (24, 1, 6, 7) and labels of three kinds: which of the three bands is bright."""
    rng = np.random.default_rng(seed)
    y = np.arange(24) % 3
    X = rng.integers(0, 120, (24, 1, 6, 7)).astype(np.uint8)
    for image, k in zip(X, y):
        image[0, 2 * k : 2 * k + 2] += 120
    return X, np.array(["low", "middle", "top"])[y]


def numbered_rows(seed: int) -> Data:
    """float64 (30, 4) and two numbers each that follow from them, nearly."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, 100]
    y = np.stack([X[:, 0] + 0.1 * X[:, 1], 3 - X[:, 0] ** 2], axis=1)
    return X, y + 0.1 * rng.normal(size=y.shape)


def one_number(seed: int) -> Data:
    X, y = numbered_rows(seed)
    return X, y[:, 0]


def numbered_images(seed: int) -> Data:
    """uint8 (24, 1, 6, 7) and how bright each is."""
    X = labelled_images(seed)[0]
    return X, X.mean(axis=(1, 2, 3))


def unlabelled_images(seed: int) -> Data:
    return labelled_images(seed)[0], None


def photos(seed: int, n: int = 16) -> np.ndarray:
    """uint8 (n, 3, 20, 24) of smooth noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 3, 5, 6)).astype(np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


def labelled_photos(seed: int) -> Data:
    X = photos(seed)
    return X, np.where(X[:, 0].mean(axis=(1, 2)) > 127, "red", "not red")


def boxed_photos(seed: int) -> Data:
    """A bright thing of two kinds in each, and where: [left, top, right, bottom]."""
    rng = np.random.default_rng(seed)
    X, targets = photos(seed, 8) // 3, []
    for i, image in enumerate(X):
        left, top = (int(k) for k in rng.integers(0, 9, 2))
        image[i % 2, top : top + 10, left : left + 11] = 250
        targets.append(([[left, top, left + 11, top + 10]], [i % 2]))
    return X, targets


def masked_photos(seed: int) -> Data:
    """As `boxed_photos`, and the class of every pixel: uint8 (8, 20, 24)."""
    X, targets = boxed_photos(seed)
    masks = np.zeros((len(X), *X.shape[2:]), np.uint8)
    for mask, (boxes, labels) in zip(masks, targets):
        left, top, right, bottom = boxes[0]
        mask[top:bottom, left:right] = 1 + labels[0]
    return X, masks


def described_photos(seed: int) -> Data:
    X, colours = labelled_photos(seed)
    return X, [[f"a {colour} picture", f"this is {colour}"] for colour in colours]


def clips(seed: int) -> Data:
    """uint8 (12, 3, 1, 8, 8) of a bright column that goes to the left or to the right."""
    X = np.random.default_rng(seed).integers(0, 60, (12, 3, 1, 8, 8)).astype(np.uint8)
    for i, clip in enumerate(X):
        for t, frame in enumerate(clip):
            frame[0, :, (i + (2 * t if i % 2 else -2 * t)) % 8] = 230
    return X, np.array(["left", "right"])[np.arange(12) % 2]


def texts(seed: int) -> Data:
    """Four words each; whether "red" is among them."""
    rng = np.random.default_rng(seed)
    X = [" ".join(rng.choice(WORDS, 4)) for _ in range(24)] + ["a red dog"]
    return X, np.array(["red" in text.split() for text in X])


def pairs(seed: int) -> Data:
    """Two texts, and how many words they have in common."""
    rng = np.random.default_rng(seed)
    X = [(" ".join(rng.choice(WORDS, 4)), " ".join(rng.choice(WORDS, 4))) for _ in range(24)]
    return X, np.array([float(len({*a.split()} & {*b.split()})) for a, b in X])


def classed_pairs(seed: int) -> Data:
    X, y = pairs(seed)
    return X, np.where(y > 1, "alike", "not alike")


def prose(seed: int) -> Data:
    return [". ".join(texts(10 * seed + k)[0]) for k in range(2)], None


# -- answers --------------------------------------------------------------------------------------


def of_classes(model: Any, X: Any) -> Answers:
    return {"predict": model.predict(X), "predict_proba": model.predict_proba(X)}


def of_numbers(model: Any, X: Any) -> Answers:
    return {"predict": model.predict(X)}


def of_layers(model: Any, X: Any) -> Answers:
    return {**of_classes(model, X), "transform": model.transform(X)}


def of_the_data(model: Any, X: Any) -> Answers:
    """Of a model of the data itself. What it draws at random is asked for elsewhere."""
    return {"transform": model.transform(X), "reconstruct": model.reconstruct(X)}


def draws_of_the_data(model: Any, X: Any) -> Answers:
    return {
        "sample": model.sample(3),
        "score_samples": model.score_samples(X),
        "anomaly_score": model.anomaly_score(X),
        "is_anomaly": model.is_anomaly(X),
        "threshold": np.array([model.threshold_]),
    }


def of_labelled_data(model: Any, X: Any) -> Answers:
    return {**of_classes(model, X), **of_the_data(model, X)}


def of_boxes(model: Any, X: Any) -> Answers:
    """All boxes above a low score, image by image, and how many there are."""
    found = model.predict(X, count=False, threshold=0.05)
    return {
        "boxes": np.concatenate([one.boxes for one in found]),
        "labels": np.concatenate([one.labels for one in found]),
        "scores": np.concatenate([one.scores for one in found]),
        "counts": np.array([len(one.labels) for one in found]),
    }


def of_counts(model: Any, X: Any) -> Answers:
    return {"predict": model.predict(X), **of_boxes(model, X)}


def of_faces(model: Any, X: Any) -> Answers:
    named = {"identify": model.identify(X), "similarity": model.similarity(X, X[:, :, :, ::-1])}
    return {**of_layers(model, X), **named}


def of_captions(model: Any, X: Any) -> Answers:
    return {"predict": np.array(model.predict(X)), "transform": model.transform(X)}


def of_matches(model: Any, X: Any) -> Answers:
    said = ["a red picture", "a not red picture", "nothing of the sort"]
    return {
        "predict": model.predict(X, said),
        "encode_images": model.encode_images(X),
        "cosines": model.encode_images(X) @ model.encode_texts(said).T,
    }


def of_prose(model: Any, X: Any) -> Answers:
    written = "".join(model.generate("a red", temperature=0, max_tokens=12))
    return {"token_nats": model.token_nats(X), "generate": np.array([written])}


def of_pairs(model: Any, X: Any) -> Answers:
    return {
        "predict": model.predict(X),
        "encode": model.encode([a for a, _ in X]),
        "similarity": model.similarity([a for a, _ in X], [b for _, b in X]),
    }


# -- what cannot be learnt ------------------------------------------------------------------------


def labels_too_few(data: Callable[[int], Data], told: str) -> Callable[[], tuple[Any, Any, str]]:
    def wrong() -> tuple[Any, Any, str]:
        X, y = data(0)
        return X, y[:-3], told

    return wrong


def a_pixel_too_strange() -> tuple[Any, Any, str]:
    X = labelled_images(0)[0].astype(np.float32)
    X[13, 0, 2, 2] = np.nan
    return X, None, r"images\[13\]"


def nothing_to_read() -> tuple[Any, Any, str]:
    return "", None, "text"


# -- the entries ----------------------------------------------------------------------------------

SHALLOW = {"data": labelled_images, "answers": of_classes,
           "wrong": labels_too_few(labelled_images, r"\(24,\)")}  # fmt: skip
DEEP = {**SHALLOW, "answers": of_layers}
OF_DATA = {"data": unlabelled_images, "answers": of_the_data, "drawn": draws_of_the_data,
           "wrong": a_pixel_too_strange}  # fmt: skip
BOTH = {**SHALLOW, "answers": of_labelled_data, "drawn": draws_of_the_data}
NUMBERS = {"data": numbered_rows, "answers": of_numbers,
           "wrong": labels_too_few(numbered_rows, "inconsistent numbers of samples")}  # fmt: skip

EXAMPLES = {
    example.name: example
    for example in (
        Example("logistic", {"max_iter": 30}, **SHALLOW),
        Example("boosting", {"max_iter": 3}, **SHALLOW),
        Example("tabular", {**NETWORK, "hidden": 6, "members": 2, "bins": 4, "units": 2}, **DEEP),
        Example("dnn", {**NETWORK, "hidden": (9, 5)}, **DEEP),
        Example("cnn", {**NETWORK, "width": 2}, **DEEP),
        Example("dsn", {**NETWORK, "n_hidden": 7, "n_modules": 2}, **DEEP),
        Example(
            "dbn",
            {**NETWORK, "hidden": (9, 7), "finetune_epochs": 2, "sweeps": (1, 1, 1)},
            **BOTH,
        ),
        Example(
            "dbm", {**NETWORK, "hidden": (9, 7), "finetune_epochs": 2, "pretrain_epochs": 2}, **BOTH
        ),
        Example(
            "autoencoder", {**NETWORK, "hidden": (9,), "code_size": 3, "head_units": 5}, **BOTH
        ),
        Example("rbm", {**NETWORK, "n_hidden": 9, "sweeps": 20}, **OF_DATA),
        Example("mean", {"statistic": "median"}, **NUMBERS),
        Example("linear", {}, **NUMBERS),
        Example("boosting_regressor", {"max_iter": 3}, **NUMBERS),
        Example("dnn_regressor", {**NETWORK, "hidden": (9, 5)}, **NUMBERS),
        Example(
            "cnn_regressor",
            {**NETWORK, "width": 2},
            numbered_images,
            of_numbers,
            labels_too_few(numbered_images, r"\(24,\)"),
        ),
        Example("dsn_regressor", {**NETWORK, "n_hidden": 7, "n_modules": 2}, **NUMBERS),
        Example(
            "captioner",
            {
                **NETWORK,
                "size": "xs",
                "backbone": "cnn-xxs",
                "tokens": "characters",
                "max_tokens": 24,
            },
            described_photos,
            of_captions,
            labels_too_few(described_photos, "captions of 13 images"),
        ),
        Example(
            "image-classifier",
            {**NETWORK, "backbone": "cnn-xxs"},
            labelled_photos,
            of_layers,
            labels_too_few(labelled_photos, r"\(16,\)"),
        ),
        Example(
            "detector",
            {
                **NETWORK,
                "size": "xs",
                "backbone": "cnn-xxs",
                "batch_size": 4,
                "epochs": 4,
                "lr": 0.03,
            },
            boxed_photos,
            of_boxes,
            labels_too_few(boxed_photos, "boxes of 5 pictures, and there are 8"),
        ),
        Example(
            "counter",
            {
                **NETWORK,
                "size": "xs",
                "backbone": "cnn-xxs",
                "batch_size": 4,
                "epochs": 4,
                "lr": 0.03,
            },
            boxed_photos,
            of_counts,
            labels_too_few(boxed_photos, "boxes of 5 pictures, and there are 8"),
        ),
        Example(
            "faces",
            {**NETWORK, "size": "xs", "backbone": "cnn-xxs", "n_embedding": 12},
            labelled_photos,
            of_faces,
            labels_too_few(labelled_photos, r"\(16,\)"),
            afterwards=lambda model: model.enroll("somebody", photos(7, 3)),
        ),
        Example(
            "video",
            {**NETWORK, "size": "xs", "backbone": "cnn-xxs", "frames": 3},
            clips,
            of_layers,
            labels_too_few(clips, r"\(12,\)"),
        ),
        Example(
            "image-text",
            {**NETWORK, "size": "xs", "backbone": "cnn-xxs", "n_embedding": 12},
            described_photos,
            of_matches,
            labels_too_few(described_photos, "captions of 13 images"),
        ),
        Example(
            "language",
            {**NETWORK, "size": "xxs", "context": 16, "tokens": "characters", "epochs": 2},
            prose,
            of_prose,
            nothing_to_read,
            singly=False,  # a text is foretold by those before it
        ),
        Example(
            "segmenter",
            {**NETWORK, "size": "xs", "backbone": "cnn-xxs", "batch_size": 4},
            masked_photos,
            of_classes,
            labels_too_few(masked_photos, "5 masks for 8 images"),
        ),
        Example(
            "sentences",
            {**NETWORK, "size": "xs"},
            pairs,
            of_pairs,
            labels_too_few(pairs, r"\(24,\)"),
        ),
        Example(
            "text", {**NETWORK, "size": "xs"}, texts, of_classes, labels_too_few(texts, r"\(25,\)")
        ),
        Example("tfidf", {}, texts, of_classes, labels_too_few(texts, r"\(25,\)")),
    )
}


def variant(
    name: str, what: str, settings: dict[str, Any] | None = None, **changes: Any
) -> Example:
    """An example again, with these settings beside its own, or asked or taught otherwise."""
    example = EXAMPLES[name]
    return replace(example, settings={**example.settings, **(settings or {})}, **changes, what=what)


VARIANTS = {
    f"{example.name} {example.what}": example
    for example in (
        variant("captioner", "frozen", {"freeze": "all", "dropout": 0.2}),
        variant("image-text", "frozen", {"freeze": "all", "dropout": 0.2}),
        variant("video", "frozen", {"freeze": "all"}),
        variant("image-classifier", "adapted", {"freeze": 1, "epochs": 2}),
        variant("dbn", "unlabelled", **OF_DATA),
        variant("dbm", "unlabelled", **OF_DATA),
        variant("autoencoder", "unlabelled", **OF_DATA),
        variant("dsn", "on machines", {"init": "rbm", "init_epochs": 2, "epochs": 3}),
        variant("linear", "of one number", data=one_number),
        variant("boosting_regressor", "of one number", data=one_number),
        variant("text", "of word order", {"size": "s"}),
        variant(
            "sentences",
            "together",
            {"cross": True, "size": "s"},
            data=classed_pairs,
            answers=of_classes,
            wrong=labels_too_few(classed_pairs, r"\(24,\)"),
        ),
    )
}

"""Every family and task, by name: `choose` tries the families, `load` rebuilds either."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from depthwise.base import Estimator
from depthwise.errors import InputError
from depthwise.families.autoencoder import DeepAutoencoder
from depthwise.families.boosting_regression import GradientBoostingRegressor
from depthwise.families.cnn import CNN, CNNRegressor
from depthwise.families.dbm import DBM
from depthwise.families.dbn import DBN
from depthwise.families.dnn import DNN, DNNRegressor
from depthwise.families.dsn import DSN, DSNRegressor
from depthwise.families.rbm import RBM
from depthwise.families.shallow import GradientBoosting, LogisticRegression
from depthwise.families.shallow_regression import LinearRegression, MeanRegressor
from depthwise.modelfile import read_model
from depthwise.tasks.captioning import Captioner
from depthwise.tasks.classification import ImageClassifier
from depthwise.tasks.detection import Detector
from depthwise.tasks.detection_counter import Counter
from depthwise.tasks.faces import FaceRecognizer
from depthwise.tasks.image_text import ImageTextMatcher
from depthwise.tasks.language import LanguageModel
from depthwise.tasks.segmentation import Segmenter
from depthwise.tasks.sentence_matching import SentenceMatcher
from depthwise.tasks.text_classification import TextClassifier
from depthwise.tasks.text_classification_baseline import TextLogistic
from depthwise.tasks.video import VideoClassifier

__all__ = ["FAMILIES", "TASKS", "find_family", "load_model", "makers_for"]

FAMILIES: dict[str, type[Estimator]] = {
    "logistic": LogisticRegression,
    "boosting": GradientBoosting,
    "dnn": DNN,
    "cnn": CNN,
    "dsn": DSN,
    "dbn": DBN,
    "dbm": DBM,
    "autoencoder": DeepAutoencoder,
    "rbm": RBM,
    "mean": MeanRegressor,
    "linear": LinearRegression,
    "boosting_regressor": GradientBoostingRegressor,
    "dnn_regressor": DNNRegressor,
    "cnn_regressor": CNNRegressor,
    "dsn_regressor": DSNRegressor,
}

TASKS: dict[str, type[Estimator]] = {
    "captioner": Captioner,
    "image-classifier": ImageClassifier,
    "detector": Detector,
    "counter": Counter,
    "faces": FaceRecognizer,
    "video": VideoClassifier,
    "image-text": ImageTextMatcher,
    "language": LanguageModel,
    "segmenter": Segmenter,
    "sentences": SentenceMatcher,
    "text": TextClassifier,
    "tfidf": TextLogistic,
}

COUNTERPARTS = {  # of families of labels those that learn numbers
    "boosting": "boosting_regressor",
    "dnn": "dnn_regressor",
    "cnn": "cnn_regressor",
    "dsn": "dsn_regressor",
}


def find_family(name: str) -> type[Estimator]:
    """The class of a family or task; raises InputError with the nearest name for a misspelt one."""
    known = {**FAMILIES, **TASKS}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"there is no family {name!r}; there are {', '.join(known)}.{hint}")


def makers_for(names: Iterable[str], task: str | None) -> dict[str, type[Estimator]]:
    """The classes of these families by name; where one learns labels and the task is of numbers,
    the class that learns them (COUNTERPARTS), under the name that was asked for."""
    found: dict[str, type[Estimator]] = {}
    for name in names:
        make = find_family(name)
        if task is not None and task not in make.tasks and name in COUNTERPARTS:
            other = find_family(COUNTERPARTS[name])
            make = other if task in other.tasks else make
        if make not in found.values():
            found[name] = make
    return found


def load_model(folder: str | Path) -> Estimator:
    """The model saved in `folder` (by `save`, `depthwise fit` or `choose`); runs no code from it.

    Raises ModelFileError for a folder that is missing, damaged, or from a newer version.
    """
    model: Estimator = read_model(folder, {**FAMILIES, **TASKS})
    return model

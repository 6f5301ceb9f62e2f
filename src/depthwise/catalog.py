"""Every family and task, by name: `choose` tries the families, `load` rebuilds either."""

from __future__ import annotations

import difflib
import importlib
from collections import ChainMap
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

from depthwise.base import Estimator
from depthwise.errors import InputError
from depthwise.modelfile import read_model

__all__ = ["FAMILIES", "TASKS", "Makers", "find_family", "load_model", "makers_for"]


class Makers(MutableMapping[str, type[Estimator]]):
    """Classes by name, each imported when it is first asked for: to load one model is not to wait
    for the code of all others. `homes`: "file:Class" within depthwise, by name."""

    def __init__(self, homes: dict[str, str]):
        self.found: dict[str, str | type[Estimator]] = dict(homes)

    def __getitem__(self, name: str) -> type[Estimator]:
        maker = self.found[name]
        if isinstance(maker, str):
            module, _, attribute = maker.partition(":")
            maker = getattr(importlib.import_module(f"depthwise.{module}"), attribute)
            self.found[name] = maker
        return maker

    def __setitem__(self, name: str, maker: type[Estimator]) -> None:
        self.found[name] = maker

    def __delitem__(self, name: str) -> None:
        del self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


FAMILIES = Makers(
    {
        "logistic": "families.shallow:LogisticRegression",
        "boosting": "families.shallow:GradientBoosting",
        "tabular": "families.tabular:TabularNet",
        "dnn": "families.dnn:DNN",
        "cnn": "families.cnn:CNN",
        "dsn": "families.dsn:DSN",
        "dbn": "families.dbn:DBN",
        "dbm": "families.dbm:DBM",
        "autoencoder": "families.autoencoder:DeepAutoencoder",
        "rbm": "families.rbm:RBM",
        "mean": "families.shallow_regression:MeanRegressor",
        "linear": "families.shallow_regression:LinearRegression",
        "boosting_regressor": "families.boosting_regression:GradientBoostingRegressor",
        "dnn_regressor": "families.dnn:DNNRegressor",
        "cnn_regressor": "families.cnn:CNNRegressor",
        "dsn_regressor": "families.dsn:DSNRegressor",
    }
)

TASKS = Makers(
    {
        "captioner": "tasks.captioning:Captioner",
        "image-classifier": "tasks.classification:ImageClassifier",
        "detector": "tasks.detection:Detector",
        "counter": "tasks.detection_counter:Counter",
        "faces": "tasks.faces:FaceRecognizer",
        "video": "tasks.video:VideoClassifier",
        "image-text": "tasks.image_text:ImageTextMatcher",
        "language": "tasks.language:LanguageModel",
        "segmenter": "tasks.segmentation:Segmenter",
        "sentences": "tasks.sentence_matching:SentenceMatcher",
        "text": "tasks.text_classification:TextClassifier",
        "tfidf": "tasks.text_classification_baseline:TextLogistic",
    }
)

COUNTERPARTS = {  # of families of labels those that learn numbers
    "boosting": "boosting_regressor",
    "dnn": "dnn_regressor",
    "cnn": "cnn_regressor",
    "dsn": "dsn_regressor",
}


def find_family(name: str) -> type[Estimator]:
    """The class of a family or task; raises InputError with the nearest name for a misspelt one."""
    known = [*FAMILIES, *TASKS]
    if name in known:
        return FAMILIES[name] if name in FAMILIES else TASKS[name]
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
    model: Estimator = read_model(folder, ChainMap(FAMILIES, TASKS))
    return model

"""Every family and task, by name: `choose` tries the families, `load` rebuilds either."""

from __future__ import annotations

import difflib
import importlib
from collections import ChainMap
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

from depthwise.errors import InputError
from depthwise.models.estimator import Estimator
from depthwise.models.modelfile import read_model

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
        "logistic": "families.shallow.shallow:LogisticRegression",
        "boosting": "families.shallow.shallow:GradientBoosting",
        "tabular": "families.tabular.tabular:TabularNet",
        "dnn": "families.dnn.dnn:DNN",
        "cnn": "families.cnn:CNN",
        "dsn": "families.dsn.dsn:DSN",
        "dbn": "families.dbn.dbn:DBN",
        "dbm": "families.dbm.dbm:DBM",
        "autoencoder": "families.autoencoder.autoencoder:DeepAutoencoder",
        "rbm": "families.rbm:RBM",
        "mean": "families.shallow.regressors:MeanRegressor",
        "linear": "families.shallow.regressors:LinearRegression",
        "boosting_regressor": "families.boosting.regressor:GradientBoostingRegressor",
        "dnn_regressor": "families.dnn.dnn:DNNRegressor",
        "cnn_regressor": "families.cnn:CNNRegressor",
        "dsn_regressor": "families.dsn.dsn:DSNRegressor",
    }
)

TASKS = Makers(
    {
        "captioner": "tasks.captioning.captioner:Captioner",
        "image-classifier": "tasks.image_classification.classifier:ImageClassifier",
        "detector": "tasks.detection.detector:Detector",
        "counter": "tasks.detection.counter:Counter",
        "faces": "tasks.faces.recognizer:FaceRecognizer",
        "video": "tasks.video.classifier:VideoClassifier",
        "image-text": "tasks.image_text.matcher:ImageTextMatcher",
        "language": "tasks.language.language_model:LanguageModel",
        "segmenter": "tasks.segmentation.segmenter:Segmenter",
        "sentences": "tasks.sentence_matching.matcher:SentenceMatcher",
        "text": "tasks.text_classification.classifier:TextClassifier",
        "tfidf": "tasks.text_classification.tfidf:TextLogistic",
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

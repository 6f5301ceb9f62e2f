"""depthwise: which deep network should you ship?

The four nouns, and the verbs on them:

    from depthwise import load_data, choose, Budget
    data = load_data("digits")                                  # Dataset
    choice = choose(data, device="this", budget=Budget(latency_ms=2, size_mb=1))
    choice.winner.predict(data.test.X)                          # Model
    print(choice.scorecard)                                     # Scorecard, on a Device

The map of the floors; a file imports only from floors below its own:

    12  cli, commands/         the command line
    10  choosing/              which network to ship
     9  inference/             files in, answers out
        reporting/             the pages of choose and measure
        exporting/ shrinking/  a file that runs elsewhere; a trained model made to keep limits
        inspecting/            labels, copies and strangers that one embedding shows
     8  catalog                all families and tasks by name
     7  tasks/                 image classification, detection, faces, language, ...: a folder each
     6  backbones/             what images and texts start from
     5  families/              rbm, dbn, dbm, autoencoder, dnn, cnn, dsn, tabular, boosting, shallow
        measuring/             Device and Scorecard: six metrics, measured or predicted; limits
     4  models/                the scikit-learn contract; models of the data; saving
     3  training/              the one loop, its step, stages
        runtimes/              what runs a network
     2  data/                  a path becomes a Dataset
        reshaping/             a network made smaller
     1  boxes, layers, losses, scores/, settings, task, text/
        progress, compute, checkpoint, journal
     0  errors, host, scratch, folder_lock; moved, the old names of modules

Names are imported when first used, so that `import depthwise` costs nothing.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

from depthwise.moved import install as _old_names

__version__ = "0.1.0"

# libgomp's threads spin for milliseconds while they wait; beside a busy neighbour that makes a step
# many times slower (docs/LOG.md). It is read once, when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

# public name -> where it is defined
_HOME = {
    "BoxTable": "depthwise.data.targets.box_table:BoxTable",
    "Budget": "depthwise.measuring.limits:Budget",
    "CNN": "depthwise.families.cnn:CNN",
    "CNNRegressor": "depthwise.families.cnn:CNNRegressor",
    "CaptionTable": "depthwise.data.targets.caption_table:CaptionTable",
    "Captioner": "depthwise.tasks.captioning.captioner:Captioner",
    "Choice": "depthwise.choosing.choose:Choice",
    "Compute": "depthwise.compute:Compute",
    "Counter": "depthwise.tasks.detection.counter:Counter",
    "DBM": "depthwise.families.dbm.dbm:DBM",
    "DBN": "depthwise.families.dbn.dbn:DBN",
    "DNN": "depthwise.families.dnn.dnn:DNN",
    "DNNRegressor": "depthwise.families.dnn.dnn:DNNRegressor",
    "DSN": "depthwise.families.dsn.dsn:DSN",
    "DSNRegressor": "depthwise.families.dsn.dsn:DSNRegressor",
    "DataError": "depthwise.errors:DataError",
    "Dataset": "depthwise.data.dataset:Dataset",
    "Detections": "depthwise.tasks.detection.scores:Detections",
    "Detector": "depthwise.tasks.detection.detector:Detector",
    "DeepAutoencoder": "depthwise.families.autoencoder.autoencoder:DeepAutoencoder",
    "DepthwiseError": "depthwise.errors:DepthwiseError",
    "Device": "depthwise.measuring.devices.device:Device",
    "DivergedError": "depthwise.errors:DivergedError",
    "FAMILIES": "depthwise.catalog:FAMILIES",
    "FaceRecognizer": "depthwise.tasks.faces.recognizer:FaceRecognizer",
    "Findings": "depthwise.inspecting.findings:Findings",
    "GradientBoosting": "depthwise.families.shallow.shallow:GradientBoosting",
    "GradientBoostingRegressor": "depthwise.families.boosting.regressor:GradientBoostingRegressor",
    "ImageClassifier": "depthwise.tasks.image_classification.classifier:ImageClassifier",
    "ImageTextMatcher": "depthwise.tasks.image_text.matcher:ImageTextMatcher",
    "InputError": "depthwise.errors:InputError",
    "LanguageModel": "depthwise.tasks.language.language_model:LanguageModel",
    "LinearRegression": "depthwise.families.shallow.regressors:LinearRegression",
    "LogisticRegression": "depthwise.families.shallow.shallow:LogisticRegression",
    "MeanRegressor": "depthwise.families.shallow.regressors:MeanRegressor",
    "Metric": "depthwise.measuring.metric:Metric",
    "ModelFileError": "depthwise.errors:ModelFileError",
    "NothingFitsError": "depthwise.errors:NothingFitsError",
    "Prices": "depthwise.measuring.cost:Prices",
    "RBM": "depthwise.families.rbm:RBM",
    "Scorecard": "depthwise.measuring.scorecard:Scorecard",
    "Segmenter": "depthwise.tasks.segmentation.segmenter:Segmenter",
    "SentenceMatcher": "depthwise.tasks.sentence_matching.matcher:SentenceMatcher",
    "Shrunk": "depthwise.shrinking.shrink:Shrunk",
    "TabularNet": "depthwise.families.tabular.tabular:TabularNet",
    "TextClassifier": "depthwise.tasks.text_classification.classifier:TextClassifier",
    "TextLogistic": "depthwise.tasks.text_classification.tfidf:TextLogistic",
    "VideoClassifier": "depthwise.tasks.video.classifier:VideoClassifier",
    "backbone": "depthwise.backbones.images.named:backbone",
    "best_runtime": "depthwise.runtimes.attached:best_runtime",
    "choose": "depthwise.choosing.choose:choose",
    "export": "depthwise.exporting:export",
    "find_device": "depthwise.measuring.devices.device_finder:find",
    "inspect": "depthwise.inspecting.inspect:inspect",
    "load": "depthwise.catalog:load_model",
    "load_data": "depthwise.data.load:load",
    "measure": "depthwise.measuring.scorecard:measure",
    "quantise": "depthwise.reshaping.quantise:quantise",
    "sentence_encoder": "depthwise.backbones.texts.named:sentence_encoder",
    "shrink": "depthwise.shrinking.shrink:shrink",
    "shrink_near_miss": "depthwise.choosing.near_miss:shrink_near_miss",
}
# until the next release: name as it was -> name as it is
_RENAMED = {"rescue": "shrink_near_miss"}

__all__ = ["__version__", *sorted(_HOME)]

_old_names()


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        message = f"depthwise.{name} is now depthwise.{_RENAMED[name]}."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in _HOME:
        raise AttributeError(f"module 'depthwise' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from depthwise.backbones.images.named import backbone as backbone
    from depthwise.backbones.texts.named import sentence_encoder as sentence_encoder
    from depthwise.catalog import FAMILIES as FAMILIES
    from depthwise.catalog import load_model
    from depthwise.choosing.choose import Choice as Choice
    from depthwise.choosing.choose import choose as choose
    from depthwise.choosing.near_miss import shrink_near_miss as shrink_near_miss
    from depthwise.compute import Compute as Compute
    from depthwise.data.dataset import Dataset as Dataset
    from depthwise.data.load import load as _load_data
    from depthwise.data.targets.box_table import BoxTable as BoxTable
    from depthwise.data.targets.caption_table import CaptionTable as CaptionTable
    from depthwise.errors import DataError as DataError
    from depthwise.errors import DepthwiseError as DepthwiseError
    from depthwise.errors import DivergedError as DivergedError
    from depthwise.errors import InputError as InputError
    from depthwise.errors import ModelFileError as ModelFileError
    from depthwise.errors import NothingFitsError as NothingFitsError
    from depthwise.exporting import export as export
    from depthwise.families.autoencoder.autoencoder import DeepAutoencoder as DeepAutoencoder
    from depthwise.families.boosting.regressor import (
        GradientBoostingRegressor as GradientBoostingRegressor,
    )
    from depthwise.families.cnn import CNN as CNN
    from depthwise.families.cnn import CNNRegressor as CNNRegressor
    from depthwise.families.dbm.dbm import DBM as DBM
    from depthwise.families.dbn.dbn import DBN as DBN
    from depthwise.families.dnn.dnn import DNN as DNN
    from depthwise.families.dnn.dnn import DNNRegressor as DNNRegressor
    from depthwise.families.dsn.dsn import DSN as DSN
    from depthwise.families.dsn.dsn import DSNRegressor as DSNRegressor
    from depthwise.families.rbm import RBM as RBM
    from depthwise.families.shallow.regressors import LinearRegression as LinearRegression
    from depthwise.families.shallow.regressors import MeanRegressor as MeanRegressor
    from depthwise.families.shallow.shallow import GradientBoosting as GradientBoosting
    from depthwise.families.shallow.shallow import LogisticRegression as LogisticRegression
    from depthwise.families.tabular.tabular import TabularNet as TabularNet
    from depthwise.inspecting.findings import Findings as Findings
    from depthwise.inspecting.inspect import inspect as inspect
    from depthwise.measuring.cost import Prices as Prices
    from depthwise.measuring.devices.device import Device as Device
    from depthwise.measuring.devices.device_finder import find as _find_device
    from depthwise.measuring.limits import Budget as Budget
    from depthwise.measuring.metric import Metric as Metric
    from depthwise.measuring.scorecard import Scorecard as Scorecard
    from depthwise.measuring.scorecard import measure as measure
    from depthwise.reshaping.quantise import quantise as quantise
    from depthwise.runtimes.attached import best_runtime as best_runtime
    from depthwise.shrinking.shrink import Shrunk as Shrunk
    from depthwise.shrinking.shrink import shrink as shrink
    from depthwise.tasks.captioning.captioner import Captioner as Captioner
    from depthwise.tasks.detection.counter import Counter as Counter
    from depthwise.tasks.detection.detector import Detector as Detector
    from depthwise.tasks.detection.scores import Detections as Detections
    from depthwise.tasks.faces.recognizer import FaceRecognizer as FaceRecognizer
    from depthwise.tasks.image_classification.classifier import ImageClassifier as ImageClassifier
    from depthwise.tasks.image_text.matcher import ImageTextMatcher as ImageTextMatcher
    from depthwise.tasks.language.language_model import LanguageModel as LanguageModel
    from depthwise.tasks.segmentation.segmenter import Segmenter as Segmenter
    from depthwise.tasks.sentence_matching.matcher import SentenceMatcher as SentenceMatcher
    from depthwise.tasks.text_classification.classifier import TextClassifier as TextClassifier
    from depthwise.tasks.text_classification.tfidf import TextLogistic as TextLogistic
    from depthwise.tasks.video.classifier import VideoClassifier as VideoClassifier

    load, load_data, find_device = load_model, _load_data, _find_device

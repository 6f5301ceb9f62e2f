"""depthwise: which deep network should you ship?

The four nouns, and the verbs on them:

    from depthwise import load_data, choose, Budget
    data = load_data("digits")                                  # Dataset
    choice = choose(data, device="this", budget=Budget(latency_ms=2, size_mb=1))
    choice.winner.predict(data.test.X)                          # Model
    print(choice.scorecard)                                     # Scorecard, on a Device

The map of the floors; a file imports only from floors below its own:

    7  cli, commands/, tables  the command line
    6  choosing/, shrinking/   which network to ship; a trained one made to keep limits
    5  measuring/, ship/, exporting/
                               Device and Scorecard: six metrics, measured or predicted; the report
    4  families/, backbones/, tasks/, catalog
                               rbm, dbn, dbm, autoencoder, dnn, cnn, dsn, tabular, shallow,
                               transformer;
                               what images start from; faces, language; all by name
    3  training, updates, stages, base, estimator, networks, generative, modelfile, checkpoint,
       inputs                  the one loop; the scikit-learn contract; models of the data; saving
    2  data/, losses, scores   a path becomes a Dataset
       reshaping, quantised, runtimes/
                               a network made smaller, and what runs it
    1  errors, host, compute, layers, boxes, text, progress

Names are imported when first used, so that `import depthwise` costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# libgomp's threads spin for milliseconds while they wait; beside a busy neighbour that makes a step
# many times slower (docs/LOG.md). It is read once, when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

# public name -> where it is defined
_HOME = {
    "BoxTable": "depthwise.data.boxes_table:BoxTable",
    "Budget": "depthwise.choosing.budget:Budget",
    "CNN": "depthwise.families.cnn:CNN",
    "CNNRegressor": "depthwise.families.cnn:CNNRegressor",
    "CaptionTable": "depthwise.data.caption_table:CaptionTable",
    "Captioner": "depthwise.tasks.captioning:Captioner",
    "Choice": "depthwise.choosing.choose:Choice",
    "Compute": "depthwise.compute:Compute",
    "Counter": "depthwise.tasks.detection_counter:Counter",
    "DBM": "depthwise.families.dbm:DBM",
    "DBN": "depthwise.families.dbn:DBN",
    "DNN": "depthwise.families.dnn:DNN",
    "DNNRegressor": "depthwise.families.dnn:DNNRegressor",
    "DSN": "depthwise.families.dsn:DSN",
    "DSNRegressor": "depthwise.families.dsn:DSNRegressor",
    "DataError": "depthwise.errors:DataError",
    "Dataset": "depthwise.data.dataset:Dataset",
    "Detections": "depthwise.tasks.detection_scores:Detections",
    "Detector": "depthwise.tasks.detection:Detector",
    "DeepAutoencoder": "depthwise.families.autoencoder:DeepAutoencoder",
    "DepthwiseError": "depthwise.errors:DepthwiseError",
    "Device": "depthwise.measuring.devices:Device",
    "DivergedError": "depthwise.errors:DivergedError",
    "FAMILIES": "depthwise.catalog:FAMILIES",
    "FaceRecognizer": "depthwise.tasks.faces:FaceRecognizer",
    "GradientBoosting": "depthwise.families.shallow:GradientBoosting",
    "GradientBoostingRegressor": "depthwise.families.boosting_regression:GradientBoostingRegressor",
    "ImageClassifier": "depthwise.tasks.classification:ImageClassifier",
    "ImageTextMatcher": "depthwise.tasks.image_text:ImageTextMatcher",
    "InputError": "depthwise.errors:InputError",
    "LanguageModel": "depthwise.tasks.language:LanguageModel",
    "LinearRegression": "depthwise.families.shallow_regression:LinearRegression",
    "LogisticRegression": "depthwise.families.shallow:LogisticRegression",
    "MeanRegressor": "depthwise.families.shallow_regression:MeanRegressor",
    "Metric": "depthwise.measuring.metric:Metric",
    "ModelFileError": "depthwise.errors:ModelFileError",
    "NothingFitsError": "depthwise.errors:NothingFitsError",
    "Prices": "depthwise.measuring.cost:Prices",
    "RBM": "depthwise.families.rbm:RBM",
    "Scorecard": "depthwise.measuring.scorecard:Scorecard",
    "Segmenter": "depthwise.tasks.segmentation:Segmenter",
    "SentenceMatcher": "depthwise.tasks.sentence_matching:SentenceMatcher",
    "Shrunk": "depthwise.shrinking.shrink:Shrunk",
    "TabularNet": "depthwise.families.tabular:TabularNet",
    "TextClassifier": "depthwise.tasks.text_classification:TextClassifier",
    "TextLogistic": "depthwise.tasks.text_classification_baseline:TextLogistic",
    "VideoClassifier": "depthwise.tasks.video:VideoClassifier",
    "backbone": "depthwise.backbones.named:backbone",
    "best_runtime": "depthwise.running:best_runtime",
    "choose": "depthwise.choosing.choose:choose",
    "export": "depthwise.exporting:export",
    "find_device": "depthwise.measuring.devices:find",
    "load": "depthwise.catalog:load_model",
    "load_data": "depthwise.data.load:load",
    "measure": "depthwise.measuring.scorecard:measure",
    "quantise": "depthwise.quantising:quantise",
    "rescue": "depthwise.shrinking.rescue:rescue",
    "sentence_encoder": "depthwise.backbones.sentences:sentence_encoder",
    "shrink": "depthwise.shrinking.shrink:shrink",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'depthwise' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from depthwise.backbones.named import backbone as backbone
    from depthwise.backbones.sentences import sentence_encoder as sentence_encoder
    from depthwise.catalog import FAMILIES as FAMILIES
    from depthwise.catalog import load_model
    from depthwise.choosing.budget import Budget as Budget
    from depthwise.choosing.choose import Choice as Choice
    from depthwise.choosing.choose import choose as choose
    from depthwise.compute import Compute as Compute
    from depthwise.data.boxes_table import BoxTable as BoxTable
    from depthwise.data.caption_table import CaptionTable as CaptionTable
    from depthwise.data.dataset import Dataset as Dataset
    from depthwise.data.load import load as _load_data
    from depthwise.errors import DataError as DataError
    from depthwise.errors import DepthwiseError as DepthwiseError
    from depthwise.errors import DivergedError as DivergedError
    from depthwise.errors import InputError as InputError
    from depthwise.errors import ModelFileError as ModelFileError
    from depthwise.errors import NothingFitsError as NothingFitsError
    from depthwise.exporting import export as export
    from depthwise.families.autoencoder import DeepAutoencoder as DeepAutoencoder
    from depthwise.families.boosting_regression import (
        GradientBoostingRegressor as GradientBoostingRegressor,
    )
    from depthwise.families.cnn import CNN as CNN
    from depthwise.families.cnn import CNNRegressor as CNNRegressor
    from depthwise.families.dbm import DBM as DBM
    from depthwise.families.dbn import DBN as DBN
    from depthwise.families.dnn import DNN as DNN
    from depthwise.families.dnn import DNNRegressor as DNNRegressor
    from depthwise.families.dsn import DSN as DSN
    from depthwise.families.dsn import DSNRegressor as DSNRegressor
    from depthwise.families.rbm import RBM as RBM
    from depthwise.families.shallow import GradientBoosting as GradientBoosting
    from depthwise.families.shallow import LogisticRegression as LogisticRegression
    from depthwise.families.shallow_regression import LinearRegression as LinearRegression
    from depthwise.families.shallow_regression import MeanRegressor as MeanRegressor
    from depthwise.families.tabular import TabularNet as TabularNet
    from depthwise.measuring.cost import Prices as Prices
    from depthwise.measuring.devices import Device as Device
    from depthwise.measuring.devices import find as _find_device
    from depthwise.measuring.metric import Metric as Metric
    from depthwise.measuring.scorecard import Scorecard as Scorecard
    from depthwise.measuring.scorecard import measure as measure
    from depthwise.quantising import quantise as quantise
    from depthwise.running import best_runtime as best_runtime
    from depthwise.shrinking.rescue import rescue as rescue
    from depthwise.shrinking.shrink import Shrunk as Shrunk
    from depthwise.shrinking.shrink import shrink as shrink
    from depthwise.tasks.captioning import Captioner as Captioner
    from depthwise.tasks.classification import ImageClassifier as ImageClassifier
    from depthwise.tasks.detection import Detector as Detector
    from depthwise.tasks.detection_counter import Counter as Counter
    from depthwise.tasks.detection_scores import Detections as Detections
    from depthwise.tasks.faces import FaceRecognizer as FaceRecognizer
    from depthwise.tasks.image_text import ImageTextMatcher as ImageTextMatcher
    from depthwise.tasks.language import LanguageModel as LanguageModel
    from depthwise.tasks.segmentation import Segmenter as Segmenter
    from depthwise.tasks.sentence_matching import SentenceMatcher as SentenceMatcher
    from depthwise.tasks.text_classification import TextClassifier as TextClassifier
    from depthwise.tasks.text_classification_baseline import TextLogistic as TextLogistic
    from depthwise.tasks.video import VideoClassifier as VideoClassifier

    load, load_data, find_device = load_model, _load_data, _find_device

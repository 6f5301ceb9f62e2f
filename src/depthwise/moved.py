"""Modules by the names that they had before they were put into rooms.

An import by an old name, or a pickle that holds it, still works, and warns with the new name:

    from depthwise.modelfile import read_model        # depthwise.models.modelfile
    from depthwise.families.dnn import DNN            # now a package: depthwise.families.dnn.dnn
    from depthwise.measuring.devices import find      # ...measuring.devices.device_finder

The tables are read by a finder that Python asks for modules; nothing is imported until then. This
file goes with the next release.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "MOVED_NAMES", "OldNames", "install"]

# module as it was -> module as it is, within depthwise; "": a package of which nothing is left
MOVED = {
    "backbones.bert": "backbones.texts.bert",
    "backbones.convolutions": "backbones.images.cnn_backbone",
    "backbones.efficientnet": "backbones.images.efficientnet",
    "backbones.features": "backbones.images.features",
    "backbones.huggingface": "backbones.images.huggingface",
    "backbones.huggingface_text": "backbones.texts.huggingface",
    "backbones.images.convolutions": "backbones.images.cnn_backbone",
    "backbones.images.torch_file": "backbones.images.weights",
    "backbones.learning": "training.step",
    "backbones.named": "backbones.images.named",
    "backbones.once": "models.frozen_features",
    "backbones.reading": "tasks.encoder_estimator",
    "backbones.residual": "backbones.images.residual",
    "backbones.seeing": "tasks.spatial_estimator",
    "backbones.sentence_pieces": "backbones.texts.pieces",
    "backbones.sentences": "backbones.texts.named",
    "backbones.standing": "tasks.backbone_estimator",
    "backbones.torch_file": "backbones.images.weights",
    "backbones.weights": "backbones.images.weights",
    "base": "models.estimator",
    "choosing.answers": "choosing.kept_answers",
    "choosing.budget": "measuring.limits",
    "choosing.journal": "journal",
    "choosing.once": "choosing.whole_fits",
    "choosing.refit": "choosing.winner_refit",
    "choosing.rescue": "choosing.near_miss",
    "choosing.rescuing": "choosing.near_miss",
    "class_intervals": "scores.intervals",
    "class_scores": "scores.classification",
    "commands.exporting": "commands.export",
    "commands.learning": "commands.train",
    "commands.looking": "commands.look",
    "commands.people": "commands.enroll",
    "commands.shrinking": "commands.shrink",
    "commands.using": "commands.ask",
    "commands.writing": "commands.generate",
    "custom_scores": "scores.custom",
    "data.augment": "data.pictures.augment",
    "data.augment_targets": "data.pictures.augment_targets",
    "data.boxes_table": "data.targets.box_table",
    "data.caption_table": "data.targets.caption_table",
    "data.column_summary": "data.tables.column_summary",
    "data.columns": "data.tables.columns",
    "data.dates": "data.tables.dates",
    "data.decode": "data.pictures.decode",
    "data.encoding": "data.tables.encoding",
    "data.frame_features": "data.tables.frame_features",
    "data.frame_tree": "data.tables.frame_tree",
    "data.frames": "data.tables.frames",
    "data.images": "data.pictures.images",
    "data.pairs": "data.targets.face_pairs",
    "data.pictures.refit": "data.pictures.resize",
    "data.readers.archive": "data.readers.trees.archive",
    "data.readers.boxed": "data.readers.boxes.boxed",
    "data.readers.boxes_csv": "data.readers.boxes.boxes_csv",
    "data.readers.clips": "data.readers.clips.clips",
    "data.readers.coco": "data.readers.boxes.coco",
    "data.readers.folder": "data.readers.trees.folder",
    "data.readers.frame_folders": "data.readers.clips.frame_folders",
    "data.readers.mask_classes": "data.readers.masks.mask_classes",
    "data.readers.mask_files": "data.readers.masks.mask_files",
    "data.readers.masks": "data.readers.masks.mask_pictures",
    "data.readers.masks.masks": "data.readers.masks.mask_pictures",
    "data.readers.safe_pickle": "data.readers.trees.safe_pickle",
    "data.readers.split_lists": "data.readers.trees.split_lists",
    "data.readers.strips": "data.readers.clips.strips",
    "data.readers.texts": "data.readers.trees.small_texts",
    "data.readers.tree": "data.readers.trees.tree",
    "data.readers.trees.texts": "data.readers.trees.small_texts",
    "data.readers.videos": "data.readers.clips.videos",
    "data.readers.voc": "data.readers.boxes.voc",
    "data.readers.xml_tree": "data.readers.trees.xml_tree",
    "data.readers.yolo": "data.readers.boxes.yolo",
    "data.readers.yolo_names": "data.readers.boxes.yolo_names",
    "data.refit": "data.pictures.resize",
    "data.sparse": "data.tables.sparse",
    "data.tables": "data.tables.blanks",
    "data.targets.boxes": "data.targets.box_table",
    "data.targets.captions": "data.targets.caption_table",
    "data.workers": "data.pictures.workers",
    "deferred": "commands.deferred",
    "estimator": "models.supervised",
    "exporting.formats": "exporting.export_formats",
    "families.autoencoder": "families.autoencoder.autoencoder",
    "families.autoencoder.pretraining": "families.autoencoder.rbm_stack",
    "families.autoencoder_density": "families.autoencoder.density",
    "families.autoencoder_head": "families.autoencoder.head",
    "families.autoencoder_network": "families.autoencoder.network",
    "families.autoencoder_objective": "families.autoencoder.objective",
    "families.autoencoder_pretraining": "families.autoencoder.rbm_stack",
    "families.autoencoder_settings": "families.autoencoder.sizes",
    "families.boltzmann.generation": "families.boltzmann.new_items",
    "families.boosting_regression": "families.boosting.regressor",
    "families.boosting_rounds": "families.boosting.rounds",
    "families.boosting_settings": "families.boosting.sizes",
    "families.contrastive": "families.boltzmann.contrastive",
    "families.conv_autoencoder": "families.autoencoder.convolutions",
    "families.dbm": "families.dbm.dbm",
    "families.dbm.learning": "families.dbm.joint_learning",
    "families.dbm.partition": "families.dbm.log_partition",
    "families.dbm.pretraining": "families.dbm.layer_pretraining",
    "families.dbm_classifier": "families.dbm.classifier",
    "families.dbm_inpainting": "families.dbm.inpainting",
    "families.dbm_learning": "families.dbm.joint_learning",
    "families.dbm_network": "families.dbm.network",
    "families.dbm_partition": "families.dbm.log_partition",
    "families.dbm_pretraining": "families.dbm.layer_pretraining",
    "families.dbm_settings": "families.dbm.sizes",
    "families.dbn": "families.dbn.dbn",
    "families.dbn_network": "families.dbn.network",
    "families.dbn_settings": "families.dbn.sizes",
    "families.dnn": "families.dnn.dnn",
    "families.dnn.sizes": "families.dnn.estimator",
    "families.dnn_finetuning": "families.dnn.finetuning",
    "families.dnn_network": "families.dnn.network",
    "families.dnn_pretraining": "families.dnn.pretraining",
    "families.dnn_settings": "families.dnn.estimator",
    "families.dsn": "families.dsn.dsn",
    "families.dsn.kernel": "families.dsn.module",
    "families.dsn.rows": "families.dsn.row_blocks",
    "families.dsn.tensor": "families.dsn.module",
    "families.dsn_estimator": "families.dsn.estimator",
    "families.dsn_kernel": "families.dsn.module",
    "families.dsn_learning": "families.dsn.learning",
    "families.dsn_module": "families.dsn.module",
    "families.dsn_network": "families.dsn.network",
    "families.dsn_rows": "families.dsn.row_blocks",
    "families.dsn_tensor": "families.dsn.module",
    "families.dsn_update": "families.dsn.update",
    "families.gram": "families.dsn.gram",
    "families.memory": "families.dbn.memory",
    "families.partition": "families.boltzmann.partition",
    "families.rbm_generation": "families.boltzmann.new_items",
    "families.rbm_network": "families.boltzmann.network",
    "families.rbm_products": "families.boltzmann.products",
    "families.rbm_sampling": "families.boltzmann.sampling",
    "families.rbm_tempering": "families.boltzmann.tempering",
    "families.ridge": "families.shallow.ridge",
    "families.shallow": "families.shallow.shallow",
    "families.shallow_regression": "families.shallow.regressors",
    "families.tabular": "families.tabular.tabular",
    "families.tabular_network": "families.tabular.network",
    "families.transformer": "backbones.texts.transformer",
    "families.transformer_update": "tasks.language.step",
    "families.tree_ensemble": "families.boosting.tree_ensemble",
    "families.updown": "families.dbn.updown",
    "folding": "reshaping.folding",
    "generative": "models.generative",
    "gpu_answers": "models.gpu_answers",
    "graphs": "training.graphs",
    "inference.files": "inference.input_files",
    "inputs": "data.inputs",
    "measuring.calibration": "measuring.devices.calibration",
    "measuring.calibration_int8": "measuring.devices.calibration_int8",
    "measuring.calibration_networks": "measuring.devices.calibration_networks",
    "measuring.corrections": "measuring.devices.corrections",
    "measuring.device_names": "measuring.devices.device_names",
    "measuring.devices": "measuring.devices.device",
    "measuring.fitting": "measuring.devices.fitting",
    "measuring.machine": "measuring.devices.machine",
    "measuring.measured_tables": "measuring.devices.measured_tables",
    "measuring.numbers": "measuring.number_quality",
    "measuring.operators": "measuring.devices.operators",
    "measuring.reference_networks": "measuring.devices.reference_networks",
    "measuring.roofline": "measuring.devices.roofline",
    "measuring.score": "task",
    "modelfile": "models.modelfile",
    "networks": "models.networks",
    "pacing": "training.pacing",
    "quantised": "reshaping.int8",
    "quantising": "reshaping.quantise",
    "regression_scores": "scores.regression",
    "reporting.layers": "reporting.layer_costs",
    "reshaping": "reshaping.edits",
    "reshaping_exits": "reshaping.exits",
    "reshaping_rank": "reshaping.rank",
    "reshaping_storage": "reshaping.storage",
    "reshaping_widths": "reshaping.widths",
    "running": "runtimes.attached",
    "schedules": "training.schedules",
    "scores": "scores.accuracy",
    "ship": "",
    "ship.boxes_drawn": "inference.boxes_drawn",
    "ship.canvas": "reporting.canvas",
    "ship.charts": "reporting.charts",
    "ship.drawing": "inference.drawing",
    "ship.edge": "commands.edge",
    "ship.figures": "reporting.figures",
    "ship.file_list": "inference.file_list",
    "ship.fitting": "commands.fit_folder",
    "ship.generating": "inference.generating",
    "ship.judging": "reporting.judging",
    "ship.layers": "reporting.layer_costs",
    "ship.masks_drawn": "inference.masks_drawn",
    "ship.matching": "inference.matching",
    "ship.measured": "reporting.measure_page",
    "ship.options": "commands.options",
    "ship.pages": "reporting.page",
    "ship.placing": "inference.writing",
    "ship.reading": "inference.input_files",
    "ship.report": "reporting.choice_page",
    "ship.roofline_chart": "reporting.roofline_chart",
    "ship.seeing": "inference.boxes_and_masks",
    "ship.settings": "commands.settings_text",
    "shrinking.exits": "shrinking.early_exits",
    "shrinking.finetuning": "shrinking.fine_tune",
    "shrinking.limits": "shrinking.costing",
    "shrinking.rescue": "choosing.near_miss",
    "shrinking.scoring": "shrinking.comparing",
    "stages": "training.stages",
    "tables": "commands.screen",
    "tasks.captioning": "tasks.captioning.captioner",
    "tasks.captioning.search": "tasks.captioning.beam_search",
    "tasks.captioning_learning": "tasks.captioning.step",
    "tasks.captioning_network": "tasks.captioning.network",
    "tasks.captioning_scores": "tasks.captioning.scores",
    "tasks.captioning_search": "tasks.captioning.beam_search",
    "tasks.classification": "tasks.image_classification.classifier",
    "tasks.classification_network": "tasks.image_classification.network",
    "tasks.detection": "tasks.detection.detector",
    "tasks.detection_counter": "tasks.detection.counter",
    "tasks.detection_counts": "tasks.detection.counts",
    "tasks.detection_loss": "tasks.detection.loss",
    "tasks.detection_network": "tasks.detection.network",
    "tasks.detection_scores": "tasks.detection.scores",
    "tasks.detection_targets": "tasks.detection.targets",
    "tasks.faces": "tasks.faces.recognizer",
    "tasks.faces_gallery": "tasks.faces.gallery",
    "tasks.faces_network": "tasks.faces.network",
    "tasks.faces_scores": "tasks.faces.scores",
    "tasks.frozen_features": "models.frozen_features",
    "tasks.image_text": "tasks.image_text.matcher",
    "tasks.image_text.search": "tasks.image_text.vector_search",
    "tasks.image_text.texts": "tasks.image_text.text_arrays",
    "tasks.image_text_network": "tasks.image_text.network",
    "tasks.image_text_scores": "tasks.image_text.scores",
    "tasks.image_text_telling": "tasks.image_text.vector_search",
    "tasks.image_text_texts": "tasks.image_text.text_arrays",
    "tasks.language": "tasks.language.language_model",
    "tasks.language.counts": "tasks.language.ngram_counts",
    "tasks.language.sizes": "tasks.language.language_model",
    "tasks.language_counts": "tasks.language.ngram_counts",
    "tasks.language_generation": "tasks.language.generation",
    "tasks.language_kneser_ney": "tasks.language.kneser_ney",
    "tasks.language_scoring": "tasks.language.scoring",
    "tasks.language_settings": "tasks.language.language_model",
    "tasks.segmentation": "tasks.segmentation.segmenter",
    "tasks.segmentation.step": "tasks.segmentation.network",
    "tasks.segmentation_learning": "tasks.segmentation.network",
    "tasks.segmentation_loss": "tasks.segmentation.loss",
    "tasks.segmentation_masks": "tasks.segmentation.masks",
    "tasks.segmentation_network": "tasks.segmentation.network",
    "tasks.segmentation_scores": "tasks.segmentation.scores",
    "tasks.segmentation_tiles": "tasks.segmentation.tiles",
    "tasks.sentence_matching": "tasks.sentence_matching.matcher",
    "tasks.sentence_matching.pair_rows": "tasks.sentence_matching.pairs",
    "tasks.sentence_matching_index": "tasks.sentence_matching.index",
    "tasks.sentence_matching_inputs": "tasks.sentence_matching.pairs",
    "tasks.sentence_matching_network": "tasks.sentence_matching.network",
    "tasks.sentence_matching_reading": "tasks.sentence_matching.pairs",
    "tasks.sentence_matching_scores": "tasks.sentence_matching.scores",
    "tasks.sentence_matching_scratch": "tasks.sentence_matching.hashed",
    "tasks.text_classification": "tasks.text_classification.classifier",
    "tasks.text_classification_baseline": "tasks.text_classification.tfidf",
    "tasks.text_classification_inputs": "tasks.text_classification.texts",
    "tasks.video": "tasks.video.classifier",
    "tasks.video_network": "tasks.video.network",
    "text": "text.tokens",
    "text_files": "text.files",
    "text_words": "text.words",
    "thresholds": "scores.thresholds",
    "tracing": "reshaping.tracing",
    "training": "training.loop",
    "training.backbone_step": "training.step",
    "updates": "training.step",
}


# module that is still there -> names that it gave -> the module that defines them now, and after a
# colon the name there, where that is another
MOVED_NAMES = {
    "tasks.backbone_estimator": {"OnBackbone": "tasks.backbone_estimator:BackboneEstimator"},
    "tasks.encoder_estimator": {"OnEncoder": "tasks.encoder_estimator:EncoderEstimator"},
    "tasks.spatial_estimator": {"Seeing": "tasks.spatial_estimator:SpatialEstimator"},
    "choosing.near_miss": {"rescue": "choosing.near_miss:shrink_near_miss"},
    "models.supervised": {"Supervised": "models.estimator:Estimator"},
    "families.boosting.rounds": {
        "ClassLoss": "families.boosting.boosting_losses",
        "NumberLoss": "families.boosting.boosting_losses",
    },
    "measuring.devices.device": {
        "THIS": "measuring.devices.device_finder",
        "catalog": "measuring.devices.device_catalog",
        "find": "measuring.devices.device_finder",
        "read": "measuring.devices.device_finder",
    },
    "reporting.figures": {
        "is_worthless": "reporting.verdict",
        "limits": "reporting.verdict",
        "promise": "reporting.verdict",
        "verdict": "reporting.verdict",
    },
}


class OldNames:
    """Finds what MOVED and MOVED_NAMES list, and nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        if package != "depthwise" or not (old in MOVED or old in MOVED_NAMES):
            return None
        now = PathFinder.find_spec(name, path)
        if now is not None and now.origin is not None:
            now.loader = _WithOldNames(name, now.origin, old)
            return now
        new = MOVED[old] and f"depthwise.{MOVED[old]}"
        return ModuleSpec(name, _Moved(new), is_package=not new)  # type: ignore[arg-type]


class _Moved:
    """Puts the module of the new name where the old one is looked for."""

    def __init__(self, new: str):
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self.new:
            _warn(module.__name__, self.new, 3)
            sys.modules[module.__name__] = import_module(self.new)


class _WithOldNames(SourceFileLoader):
    """A module or package that also gives what moved out of it, and, where it has taken the name
    of a module that moved, what that one held."""

    def __init__(self, name: str, path: str, old: str):
        super().__init__(name, path)
        self.old = old

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)

        def old_attribute(attribute: str) -> Any:
            home, name = new_home(self.old, attribute)
            if not home or attribute.startswith("__") or _is_file(module, attribute):
                raise AttributeError(f"module {module.__name__!r} has no attribute {attribute!r}")
            value = getattr(import_module(home), name)
            renamed = name != attribute
            old = f"{module.__name__}.{attribute}" if renamed else module.__name__
            _warn(old, f"{home}.{name}" if renamed else home, 3)
            return value

        module.__getattr__ = old_attribute  # type: ignore[method-assign]


def new_home(old: str, attribute: str) -> tuple[str, str]:
    """The module that defines now what `attribute` of depthwise.`old` was, and its name there;
    ("", attribute) if neither table has it."""
    new = MOVED_NAMES.get(old, {}).get(attribute, MOVED.get(old, ""))
    new = MOVED_NAMES.get(new, {}).get(attribute, new)
    module, _, name = new.partition(":")
    return module and f"depthwise.{module}", name or attribute


def _is_file(package: ModuleType, name: str) -> bool:
    """Whether a file or folder of the package has this name, so that Python imports that."""
    path = getattr(package, "__path__", None)
    return path is not None and PathFinder.find_spec(f"{package.__name__}.{name}", path) is not None


def _warn(old: str, new: str, level: int) -> None:
    message = f"{old} is now {new}: import from there, or from depthwise itself where it can be."
    warnings.warn(message, DeprecationWarning, stacklevel=level)


def install() -> None:
    """Have Python ask for the old names too; once, however often it is called."""
    if OldNames not in sys.meta_path:
        sys.meta_path.insert(0, OldNames)

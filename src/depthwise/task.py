"""The table of tasks (each with its data, kind of answer and metric) and of metrics, by unit.

Other modules read what depends on the task from these rows, or key it by `answer`, so that a new
task whose answers are of a known kind needs only a row here.
"""

from dataclasses import dataclass
from typing import Literal

from depthwise.errors import InputError

__all__ = [
    "DATA_TASKS", "SCORES", "TASKS", "UNITS", "Answer", "Score", "Task", "data_task_named",
    "in_words", "per_cent", "task_named",
]  # fmt: skip

Answer = Literal[
    "class",
    "numbers",
    "person",
    "boxes",
    "mask",
    "caption",
    "ranking",
    "similarity",
    "next token",
    "score",
]


@dataclass(frozen=True)
class Task:
    """A task that a network can learn.

    unit: of its own score, a key of SCORES; "" of data that no task is asked of.
    answer: what a model says of an item; "ranking": which texts fit an image, or which images a
        text; "score": how likely or how strange the item is.
    outputs: what the numbers are that its networks answer with; "" for logits of classes.
    data: the task that its data are for, where these are of its own kind; "" where any will do.
    seen_in: what such data are, in a message.
    expected: what a folder of such data holds, in a message.
    texts_an_item: columns of prose in a table of such data, 2 of pairs; 0 where it is no table.
    from_classes: whether pictures in classes are data for it too.
    scored_with: the method that scores items, where no answers are compared with the truth.
    can_shrink: whether its networks can be shrunk after training.
    """

    name: str
    unit: str
    answer: Answer
    outputs: str = ""
    data: str = ""
    seen_in: str = ""
    expected: str = ""
    texts_an_item: int = 0
    from_classes: bool = False
    scored_with: str = ""
    can_shrink: bool = False

    @property
    def is_labelled(self) -> bool:
        """Whether each item is of one of the classes that training has shown."""
        return self.answer == "class"

    @property
    def predicts_numbers(self) -> bool:
        """Whether the answer is one number or several, by regression."""
        return self.answer == "numbers"

    @property
    def asks_about_strangers(self) -> bool:
        """Whether the classes are people, and the people asked about are not in the training
        data."""
        return self.answer == "person"

    @property
    def answers_with_boxes(self) -> bool:
        """Whether objects are found, each with its box and class, or counted."""
        return self.answer == "boxes"

    @property
    def answers_with_masks(self) -> bool:
        """Whether each pixel is given a class."""
        return self.answer == "mask"

    @property
    def is_spatial(self) -> bool:
        """Whether the answer says where in the picture something is."""
        return self.answers_with_boxes or self.answers_with_masks

    @property
    def continues_text(self) -> bool:
        """Whether it predicts the next token of running text, which is split and counted by its
        characters."""
        return self.answer == "next token"

    @property
    def is_likelihood(self) -> bool:
        """Whether models are scored by log-likelihood, which needs equal visible units."""
        return self.unit == "nats"


@dataclass(frozen=True)
class Score:
    """What candidates are compared by: its name, and the unit that follows a value."""

    name: str
    unit: str

    @property
    def is_share(self) -> bool:
        """Whether the score is a share, shown in per cent."""
        return self.unit == "%"

    @property
    def key(self) -> str:
        """The score's name in JSON."""
        return self.name.lower().replace("-", "_").replace(" ", "_")

    @property
    def label(self) -> str:
        """The label of an axis: "log-likelihood, nats"."""
        return ", ".join(filter(None, (self.name, self.unit)))

    def heading(self, words: str) -> str:
        """The unit below a column's heading: "nats of validation"."""
        return f"{self.unit} {words}".strip()


_BOXES = "boxes (left, top, right, bottom, in pixels), then logits of classes, before NMS"
_ROWS = (
    Task("classification", "fraction", "class", can_shrink=True),
    Task("generate", "nats", "score", scored_with="score_samples"),
    Task("anomaly", "AUROC", "score", scored_with="anomaly_score"),
    Task(
        "video",
        "fraction",
        "class",
        data="video",
        seen_in="clips in classes",
        expected="a folder of videos, or of folders of frames, for each class; "
        "arrays (N, T, C, H, W)",
    ),
    Task(
        "detection",
        "AP50",
        "boxes",
        outputs=_BOXES,
        data="detection",
        seen_in="pictures with boxes",
        expected="boxes beside the pictures: Pascal VOC, COCO JSON, YOLO text or CSV",
    ),
    Task(
        "counting", "-MAE", "boxes", outputs=_BOXES, data="detection", seen_in="pictures with boxes"
    ),
    Task(
        "segmentation",
        "mIoU",
        "mask",
        data="segmentation",
        seen_in="pictures with masks",
        expected="images/ and masks/ (or labels/) with files of the same names",
    ),
    Task(
        "faces",
        "fraction",
        "person",
        data="faces",
        seen_in="people and pairs of them",
        from_classes=True,
    ),
    Task(
        "text",
        "fraction",
        "class",
        data="text",
        seen_in="texts in classes",
        texts_an_item=1,
        expected="a table of two columns, a text and its class; or train, dev and test of these",
    ),
    Task(
        "captions",
        "BLEU-4",
        "caption",
        outputs="logits of a caption's first token; the rest is written in Python",
        data="captions",
        seen_in="pictures with captions",
        expected="pictures and captions.txt: Flickr8k's, a table with image and caption, or COCO",
    ),
    Task(
        "retrieval",
        "R@10",
        "ranking",
        outputs="vectors of pictures, of length 1; compare them with those of encode_texts",
        data="captions",
        seen_in="pictures with captions",
    ),
    Task(
        "pairs",
        "Spearman",
        "similarity",
        data="pairs",
        seen_in="pairs of sentences",
        texts_an_item=2,
        expected="a table of two sentences and a class or a similarity; or train, dev and test",
    ),
    Task(
        "language",
        "-bits/byte",
        "next token",
        outputs="logits of the token that follows each",
        data="language",
        seen_in="prose",
        expected="a text file, or several",
    ),
    Task(
        "regression",
        "R2",
        "numbers",
        outputs="the numbers to predict, in their own units",
        data="regression",
        seen_in="numbers to predict",
        can_shrink=True,
    ),
)
_UNLABELLED = Task("unlabelled", "", "score")

TASKS = {row.name: row for row in _ROWS}
UNITS = {row.name: row.unit for row in _ROWS}
DATA_TASKS = {  # what data may be for
    row.name: row
    for row in (*_ROWS, _UNLABELLED)
    if row.data in (row.name, "") and not row.scored_with
}
SCORES = {
    unit: Score(unit, "") for unit in ("AUROC", "AP50", "mIoU", "BLEU-4", "Spearman", "F1", "R2")
}
SCORES |= {
    "fraction": Score("accuracy", "%"),
    "balanced accuracy": Score("balanced accuracy", "%"),
    "-RMSE": Score("negative RMSE", ""),
    "-mean error": Score("negative MAE", ""),
    "-log loss": Score("negative log loss", "nats"),
    "nats": Score("log-likelihood", "nats"),
    "-MAE": Score("negative MAE", "objects"),
    "R@10": Score("recall at 10", ""),
    "-bits/byte": Score("negative bits per byte", ""),
}


def task_named(name: str) -> Task:
    """Raises InputError for a name that is no task's."""
    if name not in TASKS:
        raise InputError(f"task must be one of {', '.join(TASKS)}; got {name!r}.")
    return TASKS[name]


def data_task_named(name: str) -> Task:
    """Raises InputError for a name that is not of DATA_TASKS."""
    if name not in DATA_TASKS:
        raise InputError(f"data are for one of {', '.join(DATA_TASKS)}; got task={name!r}.")
    return DATA_TASKS[name]


def per_cent(share: float) -> str:
    """A share formatted for every command, table and message: "71.6%"; "99.63%" near the top,
    where a tenth of a point is much, and "100%"."""
    digits = 0 if share == 1 else 2 if share >= 0.99 else 1
    return f"{share:.{digits}%}"


def in_words(value: float, unit: str) -> str:
    """A score with its unit: "71.6%", "-86.30 nats", "0.9312 AUROC"."""
    if unit in SCORES and SCORES[unit].is_share:
        return per_cent(value)
    return f"{value:.2f} {unit}" if unit == "nats" else f"{value:.4f} {unit}"

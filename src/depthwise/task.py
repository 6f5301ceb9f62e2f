"""What a task is scored by: its unit, and what a value in that unit is called."""

from dataclasses import dataclass

__all__ = ["SCORES", "UNITS", "Score", "in_words", "per_cent"]


@dataclass(frozen=True)
class Score:
    """What candidates are compared by: its name, and the unit that follows a value."""

    name: str
    unit: str

    @property
    def is_share(self) -> bool:
        """Whether it is told in per cent."""
        return self.unit == "%"

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return self.name.lower().replace("-", "_").replace(" ", "_")

    @property
    def label(self) -> str:
        """ "log-likelihood, nats": of an axis."""
        return ", ".join(filter(None, (self.name, self.unit)))

    def heading(self, words: str) -> str:
        """ "nats of validation": what stands under the name of a column."""
        return f"{self.unit} {words}".strip()


UNITS = {  # by task
    "classification": "fraction",
    "generate": "nats",
    "anomaly": "AUROC",
    "video": "fraction",
    "detection": "AP50",
    "counting": "-MAE",
    "segmentation": "mIoU",
    "faces": "fraction",
    "text": "fraction",
    "captions": "BLEU-4",
    "retrieval": "R@10",
    "pairs": "Spearman",
    "language": "-bits/byte",
    "regression": "R2",
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


def per_cent(share: float) -> str:
    """ "71.6%": a share of items as every command, table and message tells it; "99.63%" near the
    top, where a tenth of a point is much, and "100%"."""
    digits = 0 if share == 1 else 2 if share >= 0.99 else 1
    return f"{share:.{digits}%}"


def in_words(value: float, unit: str) -> str:
    """A value in the unit of a score: "71.6%", "-86.30 nats", "0.9312 AUROC"."""
    if unit in SCORES and SCORES[unit].is_share:
        return per_cent(value)
    return f"{value:.2f} {unit}" if unit == "nats" else f"{value:.4f} {unit}"

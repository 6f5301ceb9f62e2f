"""Claim: within the limits that MLPerf Tiny's reference networks set, CNN is right on at least 85%
of CIFAR-10's test images, and a deep autoencoder trained on normal digits only tells the others
from them better, in the mean of ten digits, than an isolation forest and principal components do.

    python benchmarks/costs/tiny_budgets.py choose --setting width=12     # short, held-out images
    python benchmarks/costs/tiny_budgets.py image                         # the long run; resumes
    python benchmarks/costs/tiny_budgets.py more                          # as long again
    python benchmarks/costs/tiny_budgets.py last                          # ten passes, unmoved
    python benchmarks/costs/tiny_budgets.py wider                         # width 13, then pruned
    python benchmarks/costs/tiny_budgets.py anomaly                       # ten digits, either way
    python benchmarks/costs/tiny_budgets.py table                         # all, beside theirs

The limits are a `Budget(parameters=, macs=)`, held against what the trained network counts.

    image classification   ResNet-8: 78 thousand weights, 12.5 million products; 85% wanted
    anomaly detection      640-128-128-128-128-8-128-128-128-128-640 for ToyADMOS sounds: 270
                           thousand weights, 264,192 products; AUC 0.85 wanted. Our data are MNIST
                           digits, not ToyADMOS: the limits are theirs, the score is of another task

Image classification is CIFAR-10's JPEG copy. The student learns from the teacher's answers as well
as from the labels (Hinton, Vinyals, Dean 2015): q = a * softmax(z / T) + (1 - a) * one-hot(y), the
loss -sum_k q_k log p_k, where z is the mean of the logits that the teacher (width 40, 87.6%:
`benchmarks/cnn_cifar10.py --best`) gives an image and its mirror image. What a and the network
should be was chosen on every tenth training image; the test part is scored once, at the end of
`image`. One image is one forward pass: no mirror images are averaged at the test.

Anomaly detection: an autoencoder 784-128-64-8-64-128-784 learns one digit of MNIST, the other nine
are the anomalies, ten such runs (benchmarks/families/autoencoder_anomaly.py says how). Its settings
were chosen on the last 6,000 training images, with 4 and 8 as the normal digits.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "families"))

from autoencoder_anomaly import means, run

from common import OUT, SHARED, both_parts
from depthwise import CNN, load
from depthwise.layers import parameter_count
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.limits import Budget, misses
from depthwise.measuring.scorecard import costs
from depthwise.scores.accuracy import wilson_interval
from depthwise.shrinking.pruning import prune
from depthwise.training.loop import Event

IMAGE = Budget(parameters=78_000, macs=12_500_000)
ANOMALY = Budget(parameters=270_000, macs=264_192)
CIFAR10 = SHARED / "cifar10" / "cifar10-jpeg.zip"
TEACHER = OUT / "cnn_cifar10_best"
AUTOENCODER: dict[str, Any] = {
    "hidden": (128, 64),
    "code_size": 8,
    "activation": "tanh",
    "epochs": 40,
    "threads": 1,
}
# MLPerf Tiny's reference networks: what they count, and what a submission must reach (quality
# targets of the benchmark, `../shared/PEERS.md` 1d)
THEIRS = {
    "image classification": ("ResNet-8", 78_666, 12_501_632, "85% right wanted"),
    "anomaly detection": ("dense autoencoder", 269_992, 264_192, "AUC 0.85 wanted, ToyADMOS"),
}
BEST: dict[str, Any] = {"width": 12, "epochs": 36, "lr": 0.015, "weight_decay": 0.02}


class Student(CNN):
    """CNN whose targets are shares of classes (B, K): labels and the teacher's answers mixed."""

    def taught(self, logits: np.ndarray, share: float, temperature: float) -> Student:
        """logits: the teacher's, (N, K), in the order of the images that `fit` is given."""
        self._lesson = (logits, share, temperature)
        return self

    def _train(self, inputs: np.ndarray, labels: np.ndarray, *rest: Any) -> None:
        logits, share, temperature = self._lesson
        answers = torch.from_numpy(logits / temperature).softmax(dim=1).numpy()
        truth = np.eye(answers.shape[1], dtype=np.float32)[labels]
        super()._train(inputs, share * answers + (1 - share) * truth, *rest)

    def _loss(self) -> Any:
        return cross_entropy_of_shares


def cross_entropy_of_shares(logits: Tensor, shares: Tensor) -> Tensor:
    """-sum_k q_k log p_k, mean over the batch; (B, K), (B, K) -> scalar."""
    if shares.dtype == torch.int64:  # validation, by labels
        return torch.nn.functional.cross_entropy(logits.float(), shares)
    return -(shares * logits.float().log_softmax(dim=1)).sum(dim=1).mean()


# -- image classification --------------------------------------------------------------------------


def choose(options: argparse.Namespace) -> None:
    """One short run, scored on training images that it did not see (the teacher did: it was trained
    on all, so that the level is a little too good; the order is what counts)."""
    X, y, _, _ = both_parts(CIFAR10)
    settings = {**BEST, "epochs": options.epochs or 6, **dict(map(setting, options.setting))}
    held = np.arange(len(X)) % 10 == 0
    logits = teacher_logits()[~held]
    model, used = trained(X[~held], y[~held], logits, settings, options, None)
    right = float((model.predict(X[held]) == y[held]).mean())
    report = {"settings": settings, "teacher": options.teacher, "temperature": options.temperature}
    print(json.dumps({**report, "held_out_right": round(100 * right, 2), **used}), flush=True)


def image(options: argparse.Namespace) -> None:
    scored("tiny_image", BEST, options)


def more(options: argparse.Namespace) -> None:
    """As many passes again at half the rate, from where `image` ended. Settings were written down
    before it ran: it is the second and last look at the test part."""
    scored("tiny_image_more", {**BEST, "lr": 0.5 * BEST["lr"]}, options, begin=OUT / "tiny_image")


def last(options: argparse.Namespace) -> None:
    """Ten passes more at a fifteenth of the rate from where `more` ended, images mirrored but not
    moved: a network this small has not learnt what it was shown, and what it will be shown is not
    moved. Written down before it ran: the third look at the test part."""
    settings = {**BEST, "lr": BEST["lr"] / 15, "epochs": 10, "augment": "flip"}
    scored("tiny_image_last", settings, options, begin=OUT / "tiny_image_more")


def wider(options: argparse.Namespace) -> None:
    """A network a little over the limit, then our own pruning down to it, and as many passes more
    as fill the run: the fourth look at the test part."""
    X, y, X_test, y_test = both_parts(CIFAR10)
    settings, checkpoint = {**BEST, "width": 13, "epochs": 52}, OUT / "tiny_wider.checkpoint"
    settings |= {"epochs": options.epochs} if options.epochs else {}
    parent, used = trained(X, y, teacher_logits(), settings, options, checkpoint)
    whole = parameter_count(parent.network_)
    shares = [IMAGE.parameters / whole - 0.004 * step for step in range(10)]
    pruned = (
        prune(parent, X, y, share=s, cost="weights", rounds=1, final_epochs=0) for s in shares
    )
    model = next(m for m in pruned if parameter_count(m.network_) <= IMAGE.parameters)
    print(f"pruned from {whole:,} to {parameter_count(model.network_):,} weights", flush=True)
    model.set_params(warm_start=True, epochs=settings["epochs"] / 4, lr=0.3 * settings["lr"])
    cpu = time.process_time()
    model.fit(X, y, checkpoint=OUT / "tiny_wider_pruned.checkpoint", watch=tell())
    used["cpu_seconds"] = round(used["cpu_seconds"] + time.process_time() - cpu, 1)
    told_score("tiny_image_wider", model, X_test, y_test, options, {"settings": settings, **used})


def scored(
    name: str, settings: dict[str, Any], options: argparse.Namespace, begin: Path | None = None
) -> None:
    X, y, X_test, y_test = both_parts(CIFAR10)
    settings = {**settings, **dict(map(setting, options.setting))}
    settings |= {"epochs": options.epochs} if options.epochs else {}
    checkpoint = OUT / f"{name}.checkpoint"
    model, used = trained(X, y, teacher_logits(), settings, options, checkpoint, begin)
    told_score(name, model, X_test, y_test, options, {"settings": settings, **used})
    checkpoint.unlink(missing_ok=True)


def told_score(
    name: str,
    model: Any,
    X_test: np.ndarray,
    y_test: np.ndarray,
    options: argparse.Namespace,
    about: dict[str, Any],
) -> None:
    """The test part, once; the model and its figures are kept."""
    wrong = int((model.predict(X_test) != y_test).sum())
    low, high = wilson_interval(len(y_test) - wrong, len(y_test))
    result = {
        "benchmark": f"tiny_budgets {name}",
        "right_percent": round(100 - 100 * wrong / len(y_test), 2),
        "interval": [round(100 * low, 2), round(100 * high, 2)],
        **within(model, IMAGE),
        **about,
        "teacher": options.teacher,
        "temperature": options.temperature,
        "curve": model.history_["epochs"],
    }
    model.save(OUT / name)
    keep(name, result)


def trained(
    X: np.ndarray,
    y: np.ndarray,
    logits: np.ndarray,
    settings: dict[str, Any],
    options: argparse.Namespace,
    checkpoint: Path | None,
    begin: Path | None = None,
) -> tuple[CNN, dict[str, float]]:
    model = Student(threads=1, random_state=options.seed, **settings)
    model.taught(logits, options.teacher, options.temperature)
    if begin is not None:
        model.set_params(warm_start=True)
        learnt = vars(load(begin)).items()
        vars(model).update({key: value for key, value in learnt if key.endswith("_")})
    started, cpu = time.monotonic(), time.process_time()
    model.fit(X, y, checkpoint=checkpoint, watch=tell())
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    return model, {"wall_seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}


def teacher_logits() -> np.ndarray:
    """(N, K), of all training images; computed once and kept."""
    path = OUT / "tiny_teacher.npy"
    if not path.exists():
        whole, _, _, _ = both_parts(CIFAR10)
        network = load(TEACHER).network_
        network.train(False)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        both = [_logits(network, part) for part in (whole, np.ascontiguousarray(whole[..., ::-1]))]
        np.save(path, ((both[0] + both[1]) / 2).astype(np.float32))
    return np.load(path)


def _logits(network: torch.nn.Module, X: np.ndarray) -> np.ndarray:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        parts = [network(torch.from_numpy(X[i : i + 500])) for i in range(0, len(X), 500)]
    return torch.cat(parts).float().numpy()


# -- anomaly detection -----------------------------------------------------------------------------


def anomaly(options: argparse.Namespace) -> None:
    """One digit is normal, the other nine are anomalies; every digit in turn, or `--digits`."""
    name, settings = "tiny_anomaly", {**AUTOENCODER, "random_state": options.seed}
    settings |= dict(map(setting, options.setting))
    kept = run(name, "one", options.digits, settings, lambda model: within(model, ANOMALY))
    print(json.dumps({"benchmark": "tiny_budgets anomaly", "means": means(kept)}), flush=True)


def table(options: argparse.Namespace) -> None:
    """Ours beside theirs, from what the other parts have kept."""
    rows = [("task", "network", "weights", "products", "score")]
    for task, (network, weights, macs, score) in THEIRS.items():
        rows.append((task, f"MLPerf Tiny: {network}", f"{weights:,}", f"{macs:,}", score))
        rows += [(task, *row) for row in _ours(task)]
    print("\n".join("| " + " | ".join(row) + " |" for row in rows))


def _ours(task: str) -> list[tuple[str, str, str, str]]:
    if task == "image classification":
        return [_image_row(path) for path in sorted(OUT.glob("tiny_image*.json"))]
    kept = json.loads((OUT / "tiny_anomaly.json").read_text())
    mean, one = means(kept), next(iter(kept.values()))
    counts = (f"{one['parameters']:,}", f"{one['macs']:,}")
    over = f"mean of {len(kept)} digits, MNIST"
    return [
        ("depthwise DeepAutoencoder", *counts, f"AUC {mean['auroc']:.4f}, {over}"),
        ("PCA, as many units", "", "", f"AUC {mean['auroc_pca']:.4f}, the same"),
        ("PCA, three times as many", "", "", f"AUC {mean['auroc_pca_thrice']:.4f}, the same"),
        ("IsolationForest", "", "", f"AUC {mean['auroc_forest']:.4f}, the same"),
    ]


def _image_row(path: Path) -> tuple[str, str, str, str]:
    kept = json.loads(path.read_text())
    score = f"{kept['right_percent']}% right ({kept['interval'][0]}-{kept['interval'][1]})"
    counts = (f"{kept['parameters']:,}", f"{kept['macs']:,}")
    return (f"depthwise CNN, {path.stem}", *counts, score)


# -- what both parts share -------------------------------------------------------------------------


def within(model: Any, budget: Budget) -> dict[str, Any]:
    """What the network counts, and which limits it breaks: none, or the benchmark fails."""
    card = costs(
        model.network_, model.input_shape_, model.input_dtype_, find("raspberry-pi-5"),
        flexibility=False,
    )  # fmt: skip
    about = card.hardware_cost.details if card.hardware_cost else {}
    broken = [str(miss) for miss in misses(card, budget)]
    return {
        "parameters": about["parameters"],
        "macs": about["macs"],
        "weight_bytes": about["weight_bytes"],
        "limits": budget.limits(),
        "limits_broken": broken,
    }


def keep(name: str, result: dict[str, Any]) -> None:
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1), flush=True)


def tell(every_seconds: float = 20.0) -> Any:
    told = time.monotonic() - every_seconds

    def watch(event: Event) -> None:
        nonlocal told
        if time.monotonic() - told >= every_seconds:
            told = time.monotonic()
            line = f"epoch {event.epoch:.2f}/{event.epochs:g}  loss {event.loss:.4f}"
            print(f"{line}  {event.items_per_second:.0f} items/s", flush=True)

    return watch


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, tuple(value.split(",")) if "," in value else value


PARTS = {
    "choose": choose,
    "image": image,
    "more": more,
    "last": last,
    "wider": wider,
    "anomaly": anomaly,
    "table": table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--setting", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--teacher", type=float, default=0.7, help="share a of its answers")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--digits", type=int, nargs="*", default=list(range(10)))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    PARTS[options.part](options)


if __name__ == "__main__":
    main()

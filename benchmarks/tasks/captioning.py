"""Captions of Flickr8k: BLEU-4, ROUGE-L and CIDEr-D on its 1,000 test images.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tasks/captioning.py --test
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tasks/captioning.py --rungs

EfficientNet-lite0, learnt on ImageNet, sees (frozen; flickr8k.py keeps what it sees); the decoder
learns from the 6,000 training images and their 30,000 captions alone. Settings, beam and length
penalty were chosen on the validation part; without --test only that is scored; --rungs sets the
sizes side by side whose test part was scored ("xs", "s" and "m" learn from scratch). Beside it the
caption of the nearest training image, by the cosine of the backbone's standardised embeddings. The
pictures are 112 x 112 and squashed to a square (shared/data/README.md).

A run that is killed goes on where it was (benchmarks/out/captioning/).
"""

from __future__ import annotations

import argparse
import ast
import json
import resource
import time
from typing import Any

import numpy as np
from flickr8k import ROOT, by_openvino, flickr8k, kept
from rungs import quietest_ms, tell_rungs
from torch import Tensor, nn

from depthwise.data.dataset import Dataset
from depthwise.models.modelfile import read_model
from depthwise.tasks.captioning.captioner import Captioner
from depthwise.tasks.captioning.scores import caption_report

OUT = ROOT / "benchmarks" / "out" / "captioning"
BEAMS, PENALTIES = (1, 2, 4, 8), (0.0, 0.5, 0.7, 1.0)


class Sees(nn.Module):
    """What a Captioner's network sees, as a network of its own."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.see(x)


class KeptCaptioner(Captioner):
    """A Captioner whose frozen backbone looks at no image twice."""

    def start(self, data: Dataset) -> None:
        """The untrained network, backbone and all."""
        train = data.train
        inputs, targets = self._take(train.X[:100], train.y.take(np.arange(100)), reset=True)
        self.network_ = self._new_network(inputs, targets)

    def _features(self, images: np.ndarray) -> np.ndarray:
        if not self._sees_once or not self.is_transfer:
            return super()._features(images)
        name = f"seen-{self._backbone_name()}-{self._enlarge(images.shape[1:])}"
        return kept(name, images, lambda block: by_openvino(Sees(self.network_), block))

    def embeddings(self, images: np.ndarray) -> np.ndarray:
        """e(x) (N, E), the end of the rows that are seen."""
        return self._features(images)[:, -self.network_.backbone.n_embedding :].astype(np.float32)


def references(y: Any) -> list[list[str]]:
    return [y[i] for i in range(len(y))]


def nearest_captions(model: KeptCaptioner, data: Dataset, part: str) -> list[str]:
    """The first caption of the nearest training image."""
    train, asked = (model.embeddings(data.part(name).X) for name in ("train", part))
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, asked = ((rows - mean) / std for rows in (train, asked))
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    nearest = (asked @ train.T).argmax(axis=1)
    return [data.train.y[int(i)][0] for i in nearest]


def learnt_before(model: KeptCaptioner, data: Dataset) -> KeptCaptioner:
    """What the baseline sees with, beside every size."""
    if model.is_transfer:
        return model
    seer = KeptCaptioner(size="lite", threads=1)
    seer.start(data)
    return seer


def told(name: str, report: dict[str, Any]) -> None:
    numbers = {k: round(v, 4) for k, v in report.items() if isinstance(v, float)}
    cider = [round(v, 4) for v in report["cider_interval"]]
    print(f"{name:28} {json.dumps(numbers)} cider_interval {cider}", flush=True)


def learn(given: argparse.Namespace, data: Dataset) -> tuple[KeptCaptioner, dict[str, float]]:
    settings = dict(pair.split("=", 1) for pair in given.set)
    model = KeptCaptioner(
        size=given.size,
        random_state=given.seed,
        threads=1,
        **{name: ast.literal_eval(value) for name, value in settings.items()},
    )
    name = "-".join([given.size, str(given.seed), *sorted(given.set)]).replace("'", "")
    folder = OUT / name.replace("/", "_")
    if (folder / "model.json").exists():
        found = read_model(folder, {"captioner": KeptCaptioner})
        return found, json.loads((folder / "times.json").read_text())

    def watch(event: Any) -> None:
        if event.step % 50 == 0 or event.step == event.steps:
            print(
                f"  step {event.step}/{event.steps} loss {event.loss:.3f} score {event.score} "
                f"{event.seconds:.0f} s, CPU {_cpu_seconds():.0f} s",
                flush=True,
            )

    model.start(data)
    for part in ("train", "validation") if model.is_transfer else ():
        model._features(data.part(part).X)  # so that its time is not that of learning
    started, cpu = time.monotonic(), _cpu_seconds()
    model.fit(data, checkpoint=folder.with_suffix(".checkpoint"), watch=watch)
    times = {
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(_cpu_seconds() - cpu, 1),
    }
    for record in model.history_["epochs"]:
        print("  ", {k: round(v, 3) for k, v in record.items()}, flush=True)
    model.save(folder)
    (folder / "times.json").write_text(json.dumps(times))
    return model, times


def latency_ms(model: Captioner, X: np.ndarray, **options: Any) -> float:
    """One picture told at a time, seeing included."""
    return quietest_ms(lambda i: Captioner.predict(model, X[i : i + 1], **options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="lite")
    parser.add_argument("--set", nargs="*", default=[], help="other settings: lr=1e-3 epochs=10")
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--length-penalty", type=float, default=0.7)
    parser.add_argument("--search", action="store_true", help="beams and penalties on validation")
    parser.add_argument("--test", action="store_true", help="score the test part, once")
    parser.add_argument("--rungs", action="store_true", help="sizes whose test part was scored")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    data = flickr8k()
    if given.rungs:
        rungs(given, data.test.X)
        return
    model, times = learn(given, data)
    options = {"beams": given.beams, "length_penalty": given.length_penalty}
    validation = data.validation
    if given.search:
        for beams in BEAMS:
            for penalty in PENALTIES[: 1 if beams == 1 else None]:
                report = model.assess(*validation, beams=beams, length_penalty=penalty)
                told(f"beams {beams} penalty {penalty}", report)
    part = "test" if given.test else "validation"
    X, y = data.part(part)
    seer = learnt_before(model, data)
    baseline = caption_report(nearest_captions(seer, data, part), references(y))
    told(f"nearest caption, {part}", baseline)
    captions = model.predict(X, **options)
    report = caption_report(captions, references(y))
    told(f"{given.size}, {part}", report)
    for i in range(0, 60, 10):
        print(f"   {captions[i]!r}   {y[i][0]!r}", flush=True)
    alone = read_alone(given, model)
    result = {
        "report": report,
        "baseline": baseline,
        **times,
        "megabytes": round(_megabytes(model), 2),
        "latency_ms": round(latency_ms(alone, X, **options), 1),
        "latency_greedy_ms": round(latency_ms(alone, X, beams=1), 1),
    }
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, dict)}), flush=True)
    (OUT / f"{given.size}-{part}-{given.seed}.json").write_text(json.dumps(result, indent=1))


def rungs(given: argparse.Namespace, X: np.ndarray) -> None:
    options = {"beams": given.beams, "length_penalty": given.length_penalty}

    def latency(size: str) -> float:
        folder = OUT / f"{size}-{given.seed}-last"
        return latency_ms(read_model(folder, {"captioner": Captioner}), X, **options)

    paths = list(OUT.glob(f"*-test-{given.seed}.json"))
    tell_rungs(paths, latency, lambda report: f"CIDEr-D {report['cider']:.3f}")


def read_alone(given: argparse.Namespace, model: KeptCaptioner) -> Captioner:
    """The same model, without what was kept."""
    folder = model.save(OUT / f"{given.size}-{given.seed}-last")
    found: Captioner = read_model(folder, {"captioner": Captioner})
    return found


def _megabytes(model: Captioner) -> float:
    tensors = model.network_.state_dict().values()
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

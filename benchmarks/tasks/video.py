"""Is there a fight? 300 clips of surveillance cameras, by their own split.

    .venv/bin/python benchmarks/tasks/video.py                  the chosen one and the baseline
    .venv/bin/python benchmarks/tasks/video.py --cross          what was chosen by
    .venv/bin/python benchmarks/tasks/video.py --rungs xs       from scratch

../shared/data/fight-clips.zip, 16 frames of 60 x 80 a clip; 225 clips to learn from and 75 to be
asked about once, no source video on both sides. `--cross` cross-validates on the 225, clips of one
source video kept together, five parts drawn twice; every choice was made by it. Beside each model
the single-frame baseline: the same backbone, shown the middle frame of a clip and nothing else.

Each of `--seeds` models learns from all 225 clips; told are the accuracy of each on the test clips,
that of their averaged answers with the area under its curve, and 95% Wilson intervals. What a
frozen backbone sees of a clip is remembered, so that seeds and parts share it. Figures stay in
benchmarks/out/video/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from depthwise.data.load import load
from depthwise.models.modelfile import read_model
from depthwise.scores.accuracy import auroc, wilson_interval
from depthwise.tasks.video.classifier import VideoClassifier

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "fight-clips.zip"
OUT = ROOT / "benchmarks" / "out" / "video"
PARTS, DRAWN = 5, 2


class Remembering(VideoClassifier):
    """Keeps what a frozen backbone saw of every clip, by the clip's SHA-256."""

    kept: ClassVar[dict[str, torch.Tensor]] = {}

    def _rows(self, inputs: Any, run: Any, network: Any = None) -> torch.Tensor:
        network = network or self.network_
        if self._is_head_alone or not network.backbone.all_frozen:
            return super()._rows(inputs, run, network)
        kind = f"{self.rung[:3]}{self._enlarge(inputs.shape[2:])}"
        names = [kind + hashlib.sha256(np.ascontiguousarray(clip)).hexdigest() for clip in inputs]
        new = [i for i, name in enumerate(names) if name not in self.kept]
        if new:
            seen = super()._rows(inputs[new], lambda n, x: n.see(x), network)
            self.kept.update(zip([names[i] for i in new], seen, strict=True))
        network.see = lambda seen: seen
        try:
            with torch.inference_mode():
                answers: torch.Tensor = run(
                    network.eval(), torch.stack([self.kept[n] for n in names])
                )
            return answers
        finally:
            del network.see


Remembering.__init__ = VideoClassifier.__init__  # type: ignore[method-assign]


def made(rung: str, seed: int, settings: dict[str, Any]) -> Remembering:
    return Remembering(size=rung, random_state=seed, **settings)


def crossed(rung: str, X: Any, y: Any, groups: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Accuracy on held-out parts of the training clips."""
    accuracies = []
    for seed in range(DRAWN):
        cut = StratifiedGroupKFold(PARTS, shuffle=True, random_state=seed)
        right = 0
        for learn, hold in cut.split(X, y, groups):
            model = made(rung, seed, settings).fit(X[learn], y[learn])
            right += int((model.predict(X[hold]) == y[hold]).sum())
        accuracies.append(right / len(y))
        print(f"  draw {seed}: {accuracies[-1]:.3f}", flush=True)
    return {"cross_accuracy": float(np.mean(accuracies)), "draws": accuracies}


def tested(rung: str, parts: Any, seeds: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Accuracy on the test clips of each seed and of all together."""
    X, y, X_test, y_test = parts
    answers = []
    for seed in range(seeds):
        model = made(rung, seed, settings)
        OUT.mkdir(parents=True, exist_ok=True)
        checkpoint = OUT / f"{_name(rung, settings)}-{seed}.checkpoint"
        model.fit(X, y, checkpoint=checkpoint)
        answers.append(model.predict_proba(X_test))
        checkpoint.unlink(missing_ok=True)
        if seed == 0:
            model.save(OUT / _name(rung, settings))
    each = [int((p.argmax(axis=1) == y_test).sum()) for p in answers]
    together = int((sum(answers).argmax(axis=1) == y_test).sum())
    n = len(y_test)
    return {
        "accuracy": float(np.mean(each)) / n,
        "interval": wilson_interval(float(np.mean(each)), n),
        "seeds": [right / n for right in each],
        "together": together / n,
        "together_interval": wilson_interval(together, n),
        "area": auroc(sum(answers)[y_test == 0, 1], sum(answers)[y_test == 1, 1]),
        "answers": [p[:, 1].round(3).tolist() for p in answers],
    }


def latency_ms(folder: Path, X: np.ndarray) -> float:
    """One clip at a time: the median of the quietest of 10 bursts."""
    model = read_model(folder, {"video": VideoClassifier})
    torch.set_num_threads(1)
    bursts = []
    for _ in range(10):
        times = []
        for i in range(3):
            started = time.process_time()
            model.predict_proba(X[i : i + 1])
            times.append(time.process_time() - started)
        bursts.append(float(np.median(times)))
    return min(bursts) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rungs", nargs="*", default=["frame", "lite"])
    parser.add_argument("--cross", action="store_true", help="on the training clips only")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    if not DATA.exists():
        raise SystemExit(f"{DATA} is absent: this benchmark needs the shared data sets")
    data = load(DATA)
    learn = np.sort(np.concatenate([data.indices["train"], data.indices["validation"]]))
    X, y, groups = np.asarray(data.inputs[learn]), data.labels[learn], data.groups[learn]
    settings = {"threads": 1, "precision": "float32", **dict(map(_setting, given.set))}
    OUT.mkdir(parents=True, exist_ok=True)
    for rung in given.rungs:
        started, cpu = time.monotonic(), _cpu_seconds()
        print(f"{rung} {given.set}", flush=True)
        if given.cross:
            result = crossed(rung, X, y, groups, settings)
        else:
            result = tested(rung, (X, y, *data.test), given.seeds, settings)
        result |= {
            "rung": rung,
            "settings": settings,
            "wall_seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(_cpu_seconds() - cpu, 1),
        }
        folder = OUT / _name(rung, settings)
        if not given.cross:
            result["latency_cpu_ms"] = round(latency_ms(folder, X[:3]), 2)
            result["megabytes"] = round((folder / "model.safetensors").stat().st_size / 1e6, 3)
        print(json.dumps({k: v for k, v in result.items() if k != "answers"}), flush=True)
        kind = "cross" if given.cross else "test"
        (OUT / f"{kind}-{_name(rung, settings)}.json").write_text(json.dumps(result, indent=1))


def _name(rung: str, settings: dict[str, Any]) -> str:
    told = [f"{k}={v}" for k, v in settings.items() if k not in ("threads", "precision")]
    return "_".join([rung, *told])


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

"""Which caption belongs to which picture: recall at 1, 5 and 10 on Flickr8k's 1,000 test images.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tasks/image_text.py --test
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tasks/image_text.py --encoder minilm-l6 --test
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tasks/image_text.py --rungs

Each image is searched for among all 5,000 captions of the test part, and each caption's image among
all 1,000. EfficientNet-lite0, learnt on ImageNet, embeds the images (frozen; flickr8k.py keeps what
it sees); what is above it learns from the 6,000 training images and their captions alone, and with
--encoder minilm-l6 texts are embedded by a sentence encoder that has learnt before (frozen too).
"xs", "s" and "m" learn from scratch. Beside it chance. Settings were chosen on the validation part;
without --test only that is scored; --rungs sets what was scored on the test part side by side.
"""

from __future__ import annotations

import argparse
import ast
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from captioning import KeptCaptioner, _cpu_seconds
from flickr8k import ROOT, flickr8k, kept
from rungs import quietest_ms, tell_rungs

from depthwise.models.modelfile import read_model
from depthwise.tasks.image_text.matcher import ImageTextMatcher

OUT = ROOT / "benchmarks" / "out" / "image_text"


class KeptMatcher(ImageTextMatcher):
    """A matcher that embeds no image and no text twice. Images: by what the captioner's backbone,
    the same one, was seen to see."""

    def _features(self, images: np.ndarray) -> np.ndarray:
        if not self.is_transfer:
            return super()._features(images)
        if not hasattr(self, "captioner"):
            self.captioner = KeptCaptioner(size="lite", threads=1)
            self.captioner.start(flickr8k())
        return self.captioner.embeddings(images)

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        def embed(block: np.ndarray) -> np.ndarray:
            return super(KeptMatcher, self)._embedded(block.tolist()).astype(np.float32)

        return kept(f"read-{self.encoder}", np.array(texts), embed)

    def encode_images(self, X: Any) -> np.ndarray:
        if not self.is_transfer:
            return super().encode_images(X)
        seen = self._features(self._take(X, reset=False)[0])
        return self._rows(seen, lambda n, x: n(x), self.network_.matching).numpy()


def told(name: str, report: dict[str, Any]) -> None:
    numbers = {k: v for k, v in report.items() if k not in ("per_class", "items")}
    print(f"{name:24} {json.dumps(numbers)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="lite")
    parser.add_argument("--encoder", default="words")
    parser.add_argument("--set", nargs="*", default=[], help="other settings: lr=1e-3 epochs=10")
    parser.add_argument("--test", action="store_true", help="score the test part, once")
    parser.add_argument("--rungs", action="store_true", help="all whose test part was scored")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    data = flickr8k()
    if given.rungs:
        rungs(given, data.test.X)
        return
    settings = dict(pair.split("=", 1) for pair in given.set)
    model = KeptMatcher(
        size=given.size,
        encoder=given.encoder,
        random_state=given.seed,
        threads=1,
        **{name: ast.literal_eval(value) for name, value in settings.items()},
    )
    for part in ("train", "validation", "test"):  # so that their time is not that of learning
        if model.is_transfer:
            model._features(data.part(part).X)
        if given.encoder != "words":
            model._embedded(list(data.part(part).y.texts))
    started, cpu = time.monotonic(), _cpu_seconds()
    name = f"{given.size}-{given.encoder}"
    model.fit(data, checkpoint=OUT / f"{name}-{given.seed}.checkpoint")
    times = {
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(_cpu_seconds() - cpu, 1),
    }
    kept_times = OUT / f"{name}-{given.seed}.times.json"
    if kept_times.exists():  # what learnt before only goes on
        times = json.loads(kept_times.read_text())
    kept_times.write_text(json.dumps(times))
    for record in model.history_["epochs"][::5]:
        print("  ", {k: round(v, 3) for k, v in record.items()}, flush=True)
    told(f"{name}, validation", model.assess(*data.validation))
    print(json.dumps(times), flush=True)
    if not given.test:
        return
    X, y = data.test
    report = model.assess(X, y)
    chance = {str(k): 1 - (1 - 5 / len(y.texts)) ** k for k in (1, 5, 10)}
    told(f"{name}, test", report)
    print(f"chance, image to text {chance}; text to image {[k / len(X) for k in (1, 5, 10)]}")
    folder = model.save(OUT / f"{name}-{given.seed}")
    alone: ImageTextMatcher = read_model(folder, {"image-text": ImageTextMatcher})
    result = {
        "report": report,
        "chance": chance,
        **times,
        "megabytes": round((folder / "model.safetensors").stat().st_size / 1e6, 2),
        "latency_image_ms": round(quietest_ms(lambda i: alone.encode_images(X[:1])), 1),
        "latency_text_ms": round(quietest_ms(lambda i: alone.encode_texts(y[0][:1])), 1),
    }
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, dict)}), flush=True)
    (OUT / f"{name}-test-{given.seed}.json").write_text(json.dumps(result, indent=1))


def rungs(given: argparse.Namespace, X: np.ndarray) -> None:
    def latency(name: str) -> float:
        model = read_model(OUT / f"{name}-{given.seed}", {"image-text": ImageTextMatcher})
        return quietest_ms(lambda i: model.encode_images(X[:1]))

    paths = list(OUT.glob(f"*-test-{given.seed}.json"))
    tell_rungs(paths, latency, lambda report: f"text to image {report['text_to_image']['10']:.3f}")


if __name__ == "__main__":
    main()

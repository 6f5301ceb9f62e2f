"""Damage saved models and open them: each is refused, or loads within 2 s and 500 MB and answers.

    python benchmarks/robust/models.py --count 5000 --seed 0

The models are those that tests/written_before/ keeps, one of every entry of the catalogue. Each
trial takes one, damages it, and opens it in a process of its own:

    number    a number of model.json is multiplied (by 10 to 1e300), negated, made 0, a fraction,
              NaN, a text, a list or nothing; or a list is repeated up to 200,000 entries long
    missing   a key of model.json is gone
    tensors   the tensors' file is cut, a byte of it is another, or a size in its header is
              multiplied; model.json has the SHA-256 of what came of it

It is right if `load_model` raises ModelFileError, or if the model loads and then answers two items
or refuses them with an error of depthwise's own. Anything else is wrong: another error, more than
2 s of processor time for loading, more than 500 MB above what the process had.

Half of the numbers that are damaged are drawn from what a network is built by (settings, network,
shrunk, input_shape), half from all. Printed: each wrong trial with the seed that repeats it, then
counts; --json FILE keeps them. Exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import json
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
WRITTEN = ROOT / "tests" / "written_before"
SECONDS, MEGABYTES = 2.0, 500.0  # that loading may take
LIMIT_SECONDS, LIMIT_BYTES = 20, 4 << 30  # at which a trial is ended
BUILT_BY = ("settings", "network", "shrunk", "input_shape")
FACTORS = (10, 1000, 10**6, 10**9, 10**15, 1e300)
LENGTHS = (2, 1000, 200_000)
Path_ = tuple[Any, ...]


# -- damage --------------------------------------------------------------------------------------


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Everything in a JSON value by its path, containers too."""
    if path:
        yield path, value
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:50])
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def put(tree: Any, path: Path_, value: Any) -> Any:
    tree = copy.deepcopy(tree)
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return tree


def other_number(value: Any, random: np.random.Generator) -> Any:
    x = value if not isinstance(value, bool) else int(value)
    ways: list[Callable[[], Any]] = [
        lambda: x * FACTORS[random.integers(len(FACTORS))],
        lambda: (x or 1) * FACTORS[random.integers(len(FACTORS))],
        lambda: -x,
        lambda: 0,
        lambda: x + 1,
        lambda: x / 3 + 0.1,
        lambda: float("nan"),
        lambda: float("inf"),
        lambda: str(x),
        lambda: [x],
        lambda: None,
        lambda: [x or 1] * LENGTHS[random.integers(len(LENGTHS))],
    ]
    weights = np.array([4, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3], float)
    value = ways[random.choice(len(ways), p=weights / weights.sum())]()
    return int(value) if isinstance(value, float) and value.is_integer() and value < 1e18 else value


def damaged_number(about: dict[str, Any], random: np.random.Generator) -> tuple[Any, str]:
    """The description with one number or list another, and what was done."""
    roots = BUILT_BY if random.random() < 0.5 else tuple(about)
    found = [
        (path, value)
        for path, value in leaves({name: about[name] for name in roots if name in about})
        if isinstance(value, int | float) or (isinstance(value, list) and value)
    ]
    path, value = found[random.integers(len(found))]
    if isinstance(value, list):
        length = LENGTHS[random.integers(len(LENGTHS))]
        new = (value * (length // len(value) + 1))[: max(length, len(value) + 1)]
        return put(about, path, new), f"{path} {len(new)} long"
    new = other_number(value, random)
    return put(about, path, new), f"{path} {value!r} -> {str(new)[:30]}"


def without_a_key(about: dict[str, Any], random: np.random.Generator) -> tuple[Any, str]:
    paths = [path for path, _ in leaves(about) if isinstance(path[-1], str)]
    path = paths[random.integers(len(paths))]
    tree = copy.deepcopy(about)
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return tree, f"without {path}"


def damaged_tensors(data: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    kind = ("cut", "byte", "size")[random.integers(3)]
    (length,) = struct.unpack("<Q", data[:8])
    if kind == "cut":
        at = int(random.integers(len(data)))
        return data[:at], f"cut at {at} of {len(data)}"
    if kind == "byte":
        at = int(random.integers(min(len(data), 8 + length)))
        changed = bytearray(data)
        changed[at] ^= 1 << int(random.integers(8))
        return bytes(changed), f"byte {at} changed"
    header = json.loads(data[8 : 8 + length])
    names = [name for name in header if name != "__metadata__" and header[name]["shape"]]
    entry = header[names[random.integers(len(names))]]
    where = int(random.integers(len(entry["shape"])))
    entry["shape"][where] *= FACTORS[random.integers(4)]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :], f"header {entry}"


def damage(model: Path, random: np.random.Generator) -> str:
    """Damages the model in this folder; what was done."""
    about = json.loads((model / "model.json").read_text())
    kind = random.choice(["number", "missing", "tensors"], p=[0.7, 0.1, 0.2])
    if kind == "tensors":
        file = model / "model.safetensors"
        data, done = damaged_tensors(file.read_bytes(), random)
        file.write_bytes(data)
        about["weights_sha256"] = hashlib.sha256(data).hexdigest()
    else:
        change = damaged_number if kind == "number" else without_a_key
        about, done = change(about, random)
    (model / "model.json").write_text(json.dumps(about))
    return f"{kind}: {done}"


# -- a trial -------------------------------------------------------------------------------------


def tried(model: Path, name: str) -> dict[str, Any]:
    """What became of opening it, in a process of its own."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reader)
        _child(model, name, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if told:
        return dict(json.loads(told))
    return {"what": f"died of signal {os.WTERMSIG(status)}", "wrong": True}


def _child(model: Path, name: str, writer: int) -> None:
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        used = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + LIMIT_SECONDS, int(used) + 30))
        here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (here + LIMIT_BYTES, here + LIMIT_BYTES))
        os.write(writer, json.dumps(_opened(model, name)).encode())
    finally:
        os._exit(0)


def _opened(model: Path, name: str) -> dict[str, Any]:
    from depthwise.catalog import load_model
    from depthwise.errors import DepthwiseError, ModelFileError

    begun, before = time.process_time(), _peak_mb()
    try:
        loaded = load_model(model)
        what, wrong = "loaded", False
    except ModelFileError as error:
        loaded, what, wrong = None, "refused", "Traceback" in str(error)
    except BaseException as error:
        loaded, what, wrong = None, f"{type(error).__name__} {str(error)[:100]}", True
    seconds, megabytes = time.process_time() - begun, _peak_mb() - before
    if seconds > SECONDS or megabytes > MEGABYTES:
        what, wrong = f"{what}, {seconds:.1f} s, {megabytes:.0f} MB", True
    if loaded is not None and not wrong:
        try:
            _answers(loaded, name)
            what = "answered"
        except DepthwiseError:
            what = "loaded, then refused the items"
        except BaseException as error:
            what, wrong = f"late: {type(error).__name__} {str(error)[:100]}", True
    return {"what": what, "wrong": wrong, "seconds": seconds, "megabytes": megabytes}


def _answers(model: Any, name: str) -> None:
    from every_model import EXAMPLES, of_classes

    answers = EXAMPLES[name].answers if name in EXAMPLES else of_classes
    answers(model, ITEMS[name])


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


ITEMS: dict[str, Any] = {}


def originals(base: Path) -> list[str]:
    """Each kept model, unpacked below `base`, and two items for it; their names."""
    names = []
    for folder in sorted(path.parent for path in WRITTEN.glob("*/*/answers.npz")):
        into = base / folder.name
        into.mkdir()
        for path in (folder / "model").iterdir():
            if path.suffix == ".gz":
                (into / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
            else:
                shutil.copy(path, into)
        if (folder / "asked.json").exists():
            import pandas

            asked: Any = pandas.DataFrame(json.loads((folder / "asked.json").read_text()))[:2]
        else:
            items = np.load(folder / "asked.npz")["items"][:2]
            asked = items.tolist() if items.dtype.kind == "U" else items
        ITEMS[folder.name] = asked
        names.append(folder.name)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0, help="trial k has the seed SEED + k")
    parser.add_argument("--json")
    given = parser.parse_args()
    import depthwise.catalog
    import every_model  # noqa: F401  imported once, before the forks

    for makers in (depthwise.catalog.FAMILIES, depthwise.catalog.TASKS):
        assert all(makers[name] for name in makers)
    counts: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as top:
        base = Path(top)
        (base / "whole").mkdir()
        names = originals(base / "whole")
        for name in names:
            said = tried(base / "whole" / name, name)
            assert said["what"] == "answered", (name, said)
        for seed in range(given.seed, given.seed + given.count):
            random = np.random.default_rng(seed)
            name = names[random.integers(len(names))]
            shutil.rmtree(base / "trial", ignore_errors=True)
            shutil.copytree(base / "whole" / name, base / "trial")
            done = damage(base / "trial", random)
            said = tried(base / "trial", name)
            counts["wrong" if said["wrong"] else said["what"]] += 1
            if said["wrong"]:
                wrong.append({"seed": seed, "model": name, "damage": done, **said})
                print(f"seed {seed}: {name}: {done}: {said['what']}", flush=True)
    print(f"{given.count} damaged models, seeds {given.seed}..: {dict(counts)}")
    if given.json:
        Path(given.json).write_text(json.dumps({"counts": counts, "wrong": wrong}, indent=1))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

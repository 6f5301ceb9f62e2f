"""Damage data files and read them: refused, told, or read as what the bytes still say.

    python benchmarks/robust/mutations.py --count 10000 --seed 0

Each trial makes a tiny data set of one of the kinds below, damages one of its files and loads it:

    cut       the file ends early                 extra     bytes follow its end
    byte      one byte is another                 head      one of the first 64 bytes is another
    gap       some bytes are missing              block     some bytes are zeros
    long      a line or a field is 200,000 characters long (files of text)

It is right if `load` raises DataError or InputError with a message of one readable line, or if it
tells of something (a problem that the sound data do not have, and that is no remark on the items
that were read), or if task, number of items and labels are those of the sound data. Where they are
others and nothing is told, the damaged bytes may truly say so: for the kinds that have a `truth`
here, a few lines that read them without depthwise, that decides; for the others it is wrong. Wrong
too: any other exception, more than 20 s of processor time, a message with unprintable characters.

Printed: each wrong trial with the seed that repeats it, then counts by kind; --json FILE keeps
them. Exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import pickle
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SECONDS = 20
INCIDENTAL = {  # problems that are about the items that were read and explain no missing one
    "class missing from a part",
    "conflicting labels",
    "constant feature",
    "constant picture",
    "constant target",
    "different sizes",
    "exact duplicate",
    "few items",
    "near duplicate",
    "nearly gives the label away",
    "part not used in full",
    "same item in two parts",
    "target far from the others",
    "uneven classes",
}
LONG = 200_000
Truth = Callable[[Path], list[str]]  # the labels in order; raises where the bytes make no sense


# -- sound data ----------------------------------------------------------------------------------


def pixels(n: int, side: int = 8, channels: int = 1) -> np.ndarray:
    """uint8 (n, side, side, channels), all different."""
    return np.random.default_rng(0).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def class_folders(folder: Path, suffix: str, **options: Any) -> None:
    for k, item in enumerate(pixels(16, channels=3)):
        place = folder / ("cat" if k % 2 else "dog") / f"{k}.{suffix}"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(item).save(place, **options)


def packed(folder: Path, kind: str) -> None:
    class_folders(folder, "png")
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "zip":
        with zipfile.ZipFile(folder / "data.zip", "w") as file:
            for name in names:
                file.write(name, str(name.relative_to(folder)))
    else:
        with tarfile.open(folder / f"data.{kind}", "w:gz" if kind == "tar.gz" else "w") as file:
            for name in names:
                file.add(name, str(name.relative_to(folder)))
    for name in ("cat", "dog"):
        shutil.rmtree(folder / name)


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


def idx(folder: Path, suffix: str = "") -> None:
    images, labels = pixels(20)[..., 0], np.arange(20, dtype=np.uint8) % 2
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        data = idx_bytes(array)
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(data) if suffix else data)


def cifar_binary(folder: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (12, 3073), dtype=np.uint8)
    for name, labels in (("data_batch_1", 0), ("test_batch", 0)):
        rows[:, 0] = (np.arange(12) + labels) % 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
        rows = rows[::-1].copy()


def cifar_pickle(folder: Path) -> None:
    for k, name in enumerate(("data_batch_1", "test_batch")):
        rows = np.random.default_rng(k).integers(0, 256, (12, 3072), dtype=np.uint8)
        batch = {b"data": rows, b"labels": [i % 10 for i in range(12)]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def npz(folder: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32), np.arange(24) % 3
    np.savez(folder / "data.npz", x=X, y=y)


def npy(folder: Path) -> None:
    np.save(folder / "x.npy", pixels(24)[..., 0])
    np.save(folder / "y.npy", np.arange(24) % 3)


def table(folder: Path, separator: str = ",", suffix: str = "csv") -> None:
    noise = np.random.default_rng(0).normal(size=(30, 3)).round(3)
    rows = [[*map(str, row), "yes" if k % 3 else "no"] for k, row in enumerate(noise)]
    lines = [separator.join(row) for row in [["a", "b", "c", "answer"], *rows]]
    (folder / f"data.{suffix}").write_text("\n".join(lines) + "\n")


SENTENCES = ["the cat sat on the mat", "a dog ran over the hill", "birds sing in the old tree"]


def texts(folder: Path) -> None:
    lines = [f'"{SENTENCES[k % 3]}, number {k}",{"good" if k % 2 else "bad"}' for k in range(30)]
    (folder / "data.csv").write_text("\n".join(["text,label", *lines]) + "\n")


def sentence_pairs(folder: Path) -> None:
    lines = [f"{SENTENCES[k % 3]} {k}\t{SENTENCES[(k + 1) % 3]} {k}\t{k % 5}.0" for k in range(30)]
    (folder / "data.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *lines]) + "\n")


def prose(folder: Path) -> None:
    for k in range(4):
        text = "\n".join(f"{SENTENCES[i % 3]} and that was day {k * 40 + i}." for i in range(40))
        (folder / f"{k}.txt").write_text(text + "\n")


def boxed_pictures(folder: Path) -> list[str]:
    names = []
    for k, item in enumerate(pixels(12, 16, 3)):
        names.append(f"{k:03}.png")
        Image.fromarray(item).save(folder / names[-1])
    return names


def voc(folder: Path) -> None:
    for k, name in enumerate(boxed_pictures(folder)):
        box = f"<xmin>{1 + k % 3}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>{10 + k % 4}</ymax>"
        size = "<size><width>16</width><height>16</height><depth>3</depth></size>"
        one = f"<object><name>{'cup' if k % 2 else 'pen'}</name><bndbox>{box}</bndbox></object>"
        text = f"<annotation><filename>{name}</filename>{size}{one}</annotation>"
        (folder / f"{name[:-4]}.xml").write_text(text)


def coco(folder: Path) -> None:
    names = boxed_pictures(folder)
    images = [{"id": k, "file_name": n, "width": 16, "height": 16} for k, n in enumerate(names)]
    boxes = [
        {"id": k, "image_id": k, "category_id": 1 + k % 2, "bbox": [1, 2, 8, 9], "area": 72}
        for k in range(len(names))
    ]
    kinds = [{"id": 1, "name": "pen"}, {"id": 2, "name": "cup"}]
    whole = {"images": images, "annotations": boxes, "categories": kinds}
    (folder / "instances.json").write_text(json.dumps(whole))


def yolo(folder: Path) -> None:
    for k, name in enumerate(boxed_pictures(folder)):
        (folder / f"{name[:-4]}.txt").write_text(f"{k % 2} 0.5 0.5 0.25 0.{3 + k % 4}\n")
    (folder / "classes.txt").write_text("pen\ncup\n")


def boxes_table(folder: Path) -> None:
    rows = [
        f"{name},{1 + k % 3},2,9,{10 + k % 4},{'cup' if k % 2 else 'pen'}"
        for k, name in enumerate(boxed_pictures(folder))
    ]
    head = "filename,xmin,ymin,xmax,ymax,class"
    (folder / "boxes.csv").write_text("\n".join([head, *rows]) + "\n")


def masks(folder: Path) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for k, item in enumerate(pixels(12, 16, 3)):
        Image.fromarray(item).save(folder / "images" / f"{k}.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[: 4 + k % 5, 3:9] = 1
        mask[10:, 10:] = 2
        Image.fromarray(mask).save(folder / "masks" / f"{k}.png")


def faces(folder: Path) -> None:
    for person in range(6):
        name = f"Person_{chr(65 + person)}"
        (folder / name).mkdir()
        for k, item in enumerate(pixels(18, 8, 3)[person * 3 : person * 3 + 3]):
            Image.fromarray(item).save(folder / name / f"{name}_{k + 1:04}.png")
    same = [f"Person_{c}\t1\t2" for c in "ABCDEF"]
    other = [f"Person_{a}\t1\tPerson_{b}\t2" for a, b in zip("ABCDEF", "BCDEFA")]
    (folder / "pairs.txt").write_text("\n".join(["1\t6", *same, *other]) + "\n")


def captions(folder: Path) -> None:
    rows = [
        f"{name},{SENTENCES[(k + i) % 3]} {k}"
        for k, name in enumerate(boxed_pictures(folder))
        for i in range(2)
    ]
    (folder / "captions.txt").write_text("\n".join(["image,caption", *rows]) + "\n")


# -- what damaged bytes truly say ----------------------------------------------------------------


def idx_truth(folder: Path) -> list[str]:
    found = {}
    for path in folder.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        axes = data[3]
        shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
        assert data[:3] == b"\0\0\x08"
        found[axes] = np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    assert len(found[3]) == len(found[1])
    return [str(label) for label in found[1]]


def tar_truth(folder: Path) -> list[str]:
    """The folders of the files up to the first block of zeros, after which all must be zeros."""
    data, at, labels = (folder / "data.tar").read_bytes(), 0, []
    while data[at : at + 512].strip(b"\0"):
        labels.append(data[at : at + 100].split(b"/")[0].decode("ascii"))
        at += 512 + (int(data[at + 124 : at + 135], 8) + 511) // 512 * 512
    assert at + 512 <= len(data) and not data[at:].strip(b"\0")
    return labels


def cifar_truth(folder: Path) -> list[str]:
    labels = []
    for name in ("data_batch_1.bin", "test_batch.bin"):
        rows = np.frombuffer((folder / name).read_bytes(), np.uint8).reshape(-1, 3073)
        assert rows[:, 0].max() < 10
        labels += [str(label) for label in rows[:, 0]]
    return labels


def npz_truth(folder: Path) -> list[str]:
    with np.load(folder / "data.npz") as file:
        assert len(file["x"]) == len(file["y"])
        return [str(label) for label in file["y"]]


def npy_truth(folder: Path) -> list[str]:
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    assert len(x) == len(y)
    return [str(label) for label in y]


def last_cells(separator: str) -> Truth:
    """Of a table whose rows all have as many cells as its header."""

    def truth(folder: Path) -> list[str]:
        (path,) = folder.iterdir()
        csv.field_size_limit(2**31 - 1)
        text = path.read_bytes().decode("utf-8-sig")
        lines = io.StringIO(text, newline="")
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(row)]
        assert len({len(row) for row in rows}) == 1
        return [row[-1] for row in rows[1:]]

    return truth


# -- the kinds -----------------------------------------------------------------------------------


@dataclass
class Kind:
    """make(folder) writes sound data; `damaged`: which files, as a pattern; `source`: what is
    loaded, below the folder; `text`: whether a line can be made long."""

    name: str
    make: Callable[[Path], None]
    damaged: str = "*"
    source: str = ""
    truth: Truth | None = None
    text: bool = False
    any_length: bool = False  # prose, of which less is prose too


KINDS = [
    Kind("png", lambda f: class_folders(f, "png"), "*.png"),
    Kind("jpeg", lambda f: class_folders(f, "jpg"), "*.jpg"),
    Kind("webp", lambda f: class_folders(f, "webp"), "*.webp"),
    Kind("gif", lambda f: class_folders(f, "gif"), "*.gif"),
    Kind("bmp", lambda f: class_folders(f, "bmp"), "*.bmp"),
    Kind("tiff", lambda f: class_folders(f, "tif"), "*.tif"),
    Kind("ppm", lambda f: class_folders(f, "ppm"), "*.ppm"),
    Kind("zip", lambda f: packed(f, "zip"), source="data.zip"),
    Kind("tar", lambda f: packed(f, "tar"), source="data.tar", truth=tar_truth),
    Kind("tar.gz", lambda f: packed(f, "tar.gz"), source="data.tar.gz"),
    Kind("idx", idx, truth=idx_truth),
    Kind("idx.gz", lambda f: idx(f, ".gz"), truth=idx_truth),
    Kind("cifar binary", cifar_binary, truth=cifar_truth),
    Kind("cifar pickle", cifar_pickle),
    Kind("npz", npz, source="data.npz", truth=npz_truth),
    Kind("npy", npy, truth=npy_truth),
    Kind("csv", table, source="data.csv", truth=last_cells(","), text=True),
    Kind("tsv", lambda f: table(f, "\t", "tsv"), "*", "data.tsv", last_cells("\t"), True),
    Kind("texts", texts, source="data.csv", truth=last_cells(","), text=True),
    Kind("sentence pairs", sentence_pairs, "*", "data.tsv", last_cells("\t"), True),
    Kind("prose", prose, "*.txt", text=True, any_length=True),
    Kind("voc", voc, "*.xml", text=True),
    Kind("coco", coco, "*.json", text=True),
    Kind("yolo", yolo, "*.txt", text=True),
    Kind("boxes table", boxes_table, "*.csv", text=True),
    Kind("masks", masks, "masks/*"),
    Kind("faces", faces, "pairs.txt", text=True),
    Kind("captions", captions, "captions.txt", text=True),
]


# -- damage --------------------------------------------------------------------------------------


def damage(data: bytes, text: bool, random: np.random.Generator) -> tuple[bytes, str]:
    ways = ["cut", "extra", "byte", "head", "gap", "block", *(["long"] if text else [])]
    way = ways[random.integers(len(ways))]
    at = int(random.integers(max(1, len(data))))
    if way == "cut":
        return data[:at], f"cut at {at} of {len(data)}"
    if way == "extra":
        more = bytes(random.integers(0, 256, int(random.integers(1, 200)), dtype=np.uint8))
        return data + more, f"{len(more)} bytes more"
    if way in ("byte", "head"):
        at = at if way == "byte" else at % min(64, len(data))
        changed = bytearray(data)
        changed[at] = (changed[at] + 1 + int(random.integers(255))) % 256
        return bytes(changed), f"byte {at}: {data[at]} -> {changed[at]}"
    length = int(random.integers(1, max(2, len(data) // 4)))
    if way == "gap":
        return data[:at] + data[at + length :], f"{length} bytes missing at {at}"
    if way == "block":
        zeros = bytes(min(length, len(data) - at))
        return data[:at] + zeros + data[at + length :], f"{len(zeros)} zeros at {at}"
    return data[:at] + b"x" * LONG + data[at:], f"{LONG:,} characters at {at}"


# -- a trial -------------------------------------------------------------------------------------


@dataclass
class Read:
    """task, labels in order by name, what was told, and of a failure what it was."""

    task: str = ""
    labels: tuple[str, ...] = ()
    told: frozenset[tuple[str, str]] = frozenset()  # kind and text of each problem
    error: str = ""
    foreseen: bool = True


def read(path: Path) -> Read:
    from depthwise.data.load import load
    from depthwise.errors import DataError, InputError

    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        data = load(path, cache=False)
    except (DataError, InputError) as error:
        text = str(error)
        return Read(error=text, foreseen=all(ch.isprintable() for ch in text))
    except BaseException as error:
        return Read(error=f"{type(error).__name__}: {str(error)[:150]}", foreseen=False)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if data.classes and data.labels is not None and len(data.labels):
        labels = tuple(str(data.classes[k]) if k >= 0 else "" for k in data.labels)
    else:
        labels = tuple(f"{v}" for v in np.asarray(data.labels).ravel().tolist())
    if not labels or len(labels) != len(data.inputs):
        labels = (*labels, f"{len(data.inputs)} items")
    return Read(data.task, labels, frozenset((p.kind, str(p)) for p in data.problems))


def judge(kind: Kind, folder: Path, sound: Read, found: Read) -> tuple[str, str]:
    """("refused", "told", "same", "true" or "wrong", why)."""
    if found.error:
        return ("refused", "") if found.foreseen else ("wrong", found.error)
    told = found.told - sound.told
    if (found.task, sorted(found.labels)) == (sound.task, sorted(sound.labels)):
        return ("told" if told else "same"), ""
    if {kind for kind, _ in told} - INCIDENTAL:
        return "told", ""
    if found.task == sound.task and kind.any_length:
        return "true", ""
    if found.task == sound.task and kind.truth is not None:
        try:
            if sorted(_plain(kind.truth(folder))) == sorted(_plain(found.labels)):
                return "true", ""
        except Exception as error:
            reason = f"the bytes make no sense ({type(error).__name__})"
            return "wrong", f"{reason}: {_difference(sound, found)}"
    return "wrong", _difference(sound, found)


def _plain(labels: Any) -> list[str]:
    """Labels as they compare: 3.0 and 3 are one."""
    plain = []
    for label in labels:
        try:
            plain.append(f"{float(label):g}")
        except ValueError:
            plain.append(str(label).strip())
    return plain


def _difference(sound: Read, found: Read) -> str:
    before, after = Counter(sound.labels), Counter(found.labels)
    gone, new = list((before - after).elements()), list((after - before).elements())
    task = "" if sound.task == found.task else f"task {found.task} and not {sound.task}, "
    counts = f"{len(sound.labels)} -> {len(found.labels)} labels"
    return f"{task}{counts}, gone {str(gone[:4])[:80]}, new {str(new[:4])[:80]}"


def _timed_out(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="trial k has the seed SEED + k")
    parser.add_argument("--kinds", help="comma separated; else all")
    parser.add_argument("--json")
    given = parser.parse_args()
    wanted = given.kinds.split(",") if given.kinds else [kind.name for kind in KINDS]
    kinds = [kind for kind in KINDS if kind.name in wanted]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _timed_out)
    counts: dict[str, Counter[str]] = {kind.name: Counter() for kind in kinds}
    wrong: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as top:
        base, sound = Path(top), {}
        for kind in kinds:
            place = base / "sound" / kind.name
            place.mkdir(parents=True)
            kind.make(place)
            sound[kind.name] = read(place / kind.source)
            assert not sound[kind.name].error, (kind.name, sound[kind.name])
        for seed in range(given.seed, given.seed + given.count):
            random = np.random.default_rng(seed)
            kind = kinds[random.integers(len(kinds))]
            trial = base / "trial" / kind.name
            shutil.rmtree(base / "trial", ignore_errors=True)
            shutil.copytree(base / "sound" / kind.name, trial)
            files = sorted(path for path in trial.rglob(kind.damaged) if path.is_file())
            path = files[random.integers(len(files))]
            data, done = damage(path.read_bytes(), kind.text, random)
            path.write_bytes(data)
            verdict, why = judge(kind, trial, sound[kind.name], read(trial / kind.source))
            counts[kind.name][verdict] += 1
            if verdict == "wrong":
                about = {"seed": seed, "kind": kind.name, "file": path.name, "damage": done}
                wrong.append({**about, "why": why})
                print(f"seed {seed}: {kind.name} {path.name}, {done}: {why}", flush=True)
    for name, counted in counts.items():
        print(f"{name:<16} {sum(counted.values()):>6}  {dict(counted)}")
    print(f"{len(wrong)} of {given.count} wrong, seeds {given.seed}..")
    if given.json:
        Path(given.json).write_text(json.dumps({"counts": counts, "wrong": wrong}, indent=1))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

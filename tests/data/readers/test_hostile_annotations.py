"""Annotation files with bytes changed, cut, doubled and put in: read, or refused in one line."""

import random
import warnings

import pytest
from made_seen import MAKERS, some_items
from test_clips_readers import make_frames, make_strips
from test_faces_reader import ROWS, make_people
from test_masks_reader import coloured, make_masks

from depthwise.data.load import load
from depthwise.errors import DataError

ODD = [b"-", b"9" * 30, b"\0", b"nan", b"1e999", b"\n", b"\t", b",", b"[", b"{", b'"', b"<", b"-1"]
ODD += [b"\xff\xfe", b"..", b"null", b"&a;", b"\\", b": ", b"#"]
WHOLE = [b"", b"{}", b"[]", b"0", b"<annotation/>", b"\x89PNG\r\n\x1a\n", b"a,b\n"]


def masks(root):
    make_masks(root, mask=coloured)
    (root / "classes.txt").write_text("128 64 128 road\n0 0 192 car\n0 0 0 sky\n")
    (root / "train.txt").write_text("0\n1\n2\n")
    (root / "test.txt").write_text("3\n4\n")


def faces(root):
    make_people(root)
    (root / "pairs.txt").write_text("3 1\n" + "\n".join(ROWS))


def maker(form):
    return lambda root: MAKERS[form](root, some_items(8))


SETS = {form: maker(form) for form in MAKERS}
SETS |= {"masks": masks, "strips": make_strips, "frames": make_frames, "faces": faces}


def damaged(data, rng):
    """Bytes with one thing wrong."""
    i, j = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return rng.choice(
        [
            data[:i] + bytes([rng.randrange(256)]) + data[i + 1 :],
            data[:i],
            data[:i] + rng.choice(ODD) + data[i:],
            data[:i] + data[i + rng.randrange(1, 30) :],
            data[:i] + data[j : j + 40] + data[i:],
            rng.choice(WHOLE),
        ]
    )


@pytest.mark.parametrize("form", SETS)
def test_damaged_files_are_read_or_refused_in_one_line_but_never_fail_oddly(tmp_path, form):
    rng, root = random.Random(form), tmp_path / "d"
    SETS[form](root)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    notes = [path for path in files if path.suffix not in (".png", ".jpg")] or files
    outcomes = set()
    for _ in range(16):
        chosen = {
            rng.choice(notes if rng.random() < 0.8 else files) for _ in range(rng.choice([1, 2]))
        }
        before = {path: path.read_bytes() for path in chosen}
        for path, data in before.items():
            path.write_bytes(damaged(data, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                data = load(root, cache=False)
            assert len(data.fingerprint) == 64 and "\0" not in data.summary()
            outcomes.add("read")
        except DataError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
        for path, data in before.items():
            path.write_bytes(data)
    assert load(root, cache=False).task != "unlabelled" and outcomes

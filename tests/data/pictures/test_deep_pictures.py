"""Pictures of more than 8 bits: one scale for the data set, told, and kept in the model."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from depthwise import CNN
from depthwise.catalog import load_model
from depthwise.data.load import load
from depthwise.data.pictures.deep import depth_of, pixel_range, to_bytes
from depthwise.errors import InputError
from depthwise.exporting.script_inputs import PICTURES
from depthwise.inference.input_files import as_the_model_takes, read_inputs


def counts(k, high=4095, size=(12, 16)):
    """uint16 (H, W): counts of a 12-bit camera, brighter in class 1."""
    noise = np.random.default_rng(k).integers(0, high // 2 + 1, size)
    return (noise + (k % 2) * (high // 2)).astype(np.uint16)


def saved(values, form):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, form)
    return buffer.getvalue()


def folder(root, make=counts, form="PNG", n=12):
    for k in range(n):
        path = root / "ab"[k % 2] / f"{k:02}.{form.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved(make(k), form))
    return root


def in_order(data):
    """inputs (N, H, W) in the order of their numbers."""
    names = [int(data.item_name(i)[2:4]) for i in range(len(data.labels))]
    return data.inputs[np.argsort(names), 0]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_12_bit_counts_fill_all_levels_and_are_told(tmp_path, form):
    data = load(folder(tmp_path, form=form), cache=False)
    want = [np.floor(counts(k).astype(float) * 255 / 4095 + 0.5) for k in range(12)]
    assert np.array_equal(in_order(data), want) and data.pixel_range == (0, 4095)
    told = {p.kind: p for p in data.problems}
    assert told["deep pictures"].count == 12 and "0 to 4,095" in told["deep pictures"].detail
    assert "exact duplicate" not in told and "constant picture" not in told


def test_whole_16_bits_are_divided_by_257(tmp_path):
    data = load(folder(tmp_path, lambda k: counts(k, 65535)), cache=False)
    want = [(counts(k, 65535).astype(int) + 128) // 257 for k in range(12)]
    assert np.array_equal(in_order(data), want)


def test_a_hot_pixel_does_not_make_the_rest_black():
    values = counts(1, size=(200, 200))
    values[3, 3] = 65535
    assert pixel_range([depth_of(values)]) == (0, 4095)
    assert to_bytes(values, 0, 4095).max() == 255


def test_counts_far_from_nothing_are_spread(tmp_path):
    data = load(folder(tmp_path, lambda k: counts(k, 400) + 30000), cache=False)
    low, high = data.pixel_range
    assert 30000 <= low < 30010 and 30390 < high <= 30400
    assert data.inputs.max() == 255 and data.inputs.min() == 0


@pytest.mark.parametrize(
    ("scale", "want"), [(1 / 4095, (0, 1)), (255 / 4095, (0, 255)), (-3.0, None), (500.0, None)]
)
def test_fractions_have_one_scale_too(tmp_path, scale, want):
    data = load(folder(tmp_path, lambda k: counts(k) * np.float32(scale), "TIFF"), cache=False)
    if want:
        assert data.pixel_range == want
    means = in_order(data).mean(axis=(1, 2))
    brighter = means[1::2] > means[::2]
    assert brighter.all() if scale > 0 else not brighter.any()
    assert len(np.unique(data.inputs)) > 100


def test_deep_among_others_and_colour_asked_for(tmp_path):
    folder(tmp_path)
    grey = Image.fromarray(np.full((12, 16), 99, np.uint8))
    grey.save(tmp_path / "a/20.png")
    data = load(tmp_path, mode="RGB", cache=False)
    assert data.pixel_range == (0, 4095) and data.inputs.shape[1] == 3
    assert (in_order(data)[-1] == 99).all()


def test_the_scale_is_kept_in_the_cache_the_model_and_its_file(tmp_path):
    data = load(folder(tmp_path / "data", n=40))
    again = load(tmp_path / "data")
    assert again.pixel_range == (0, 4095) and again.fingerprint == data.fingerprint
    model = CNN(epochs=1, size="xs").fit(data)
    assert model.pixel_range_ == (0, 4095)
    model.save(tmp_path / "model")
    model = load_model(tmp_path / "model")
    dark = counts(0, 255)  # alone it would be taken for 8 bits
    (tmp_path / "dark.png").write_bytes(saved(dark, "PNG"))
    shape = model.input_shape_
    found = read_inputs(tmp_path / "dark.png", shape, levels=model.pixel_range_)
    assert np.array_equal(found[0, 0], np.floor(dark * (255 / 4095) + 0.5))
    options = as_the_model_takes(model)
    assert options["pixel_range"] == (0, 4095)
    other = load(folder(tmp_path / "other", lambda k: counts(k, 255)), pixel_range=(0, 4095))
    assert other.inputs.max() < 20


def test_the_script_beside_an_export_reads_deep_pictures_alike(tmp_path):
    (tmp_path / "x.png").write_bytes(saved(counts(3), "PNG"))
    about = {"input_shape": [1, 12, 16], "pixel_range": [0, 4095]}
    there = {"np": np, "about": json.loads(json.dumps(about))}
    exec(PICTURES, there)
    ours = read_inputs(tmp_path / "x.png", (1, 12, 16), levels=(0, 4095))
    assert np.array_equal(there["read"](str(tmp_path / "x.png")), ours)


def test_levels_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"pixel_range is \(9, 9\)"):
        load(tmp_path, pixel_range=(9, 9))


def deep_colours(values):
    """A PNG of uint16 (H, W, 3), which Pillow cannot write: 16 bits a channel, no filter."""
    height, width = values.shape[:2]

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_colours_of_sixteen_bits_are_read_by_their_upper_eight_and_that_is_told(tmp_path):
    for k in range(12):
        path = tmp_path / "ab"[k % 2] / f"{k:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(deep_colours(np.stack([16 * counts(k)] * 3, axis=2)))
    data = load(tmp_path, cache=False)
    (told,) = [problem for problem in data.problems if problem.kind == "deep colour"]
    assert "upper 8 of the 16 bits" in told.detail and told.count == 12
    path = next(i for i in range(12) if data.item_name(i).endswith("00.png"))
    assert np.array_equal(data.inputs[path][0], (16 * counts(0) >> 8).astype(np.uint8))

"""Clips from folders of frames, strips and arrays: which frames, which class, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import encoded, noise_u8
from made_seen import kinds
from PIL import Image

from depthwise.data.load import load
from depthwise.data.readers.clips.clips import evenly
from depthwise.data.readers.clips.strips import frame_height
from depthwise.errors import DataError, InputError


def film(seed, t=8, size=(12, 20)):
    """uint8 (T, H, W, 3): a soft pattern that drifts one pixel a frame."""
    (h, w), coarse = size, noise_u8(size[0] // 4 + 2, (size[1] + t) // 4 + 2, 3, seed=seed)
    wide = np.asarray(Image.fromarray(coarse).resize((w + t, h), Image.Resampling.BICUBIC))
    return np.stack([wide[:, k : k + size[1]] for k in range(t)])


def make_frames(root, classes=("run", "walk"), each=4, t=8, parts=("",)):
    seed = 0
    for part in parts:
        for name in classes:
            for k in range(each):
                seed += 1
                folder = root / part / name / f"clip_{k}"
                folder.mkdir(parents=True)
                for f, frame in enumerate(film(seed, t)):
                    (folder / f"frame_{f}.png").write_bytes(encoded(frame))
    return root


def make_strips(root, n=8, t=6, table="clip\tlabel\tsplit\n", size=(12, 20)):
    (root / "clips").mkdir(parents=True)
    rows = []
    for k in range(n):
        strip = film(k, t, size).reshape(-1, size[1], 3)
        (root / f"clips/c{k}.png").write_bytes(encoded(strip))
        rows.append(f"c{k}\t{'ab'[k % 2]}\t{'train' if k < n - 2 else 'test'}\n")
    (root / "clips.tsv").write_text(table + "".join(rows))
    return root


def first(images_u8):
    return images_u8.transpose(0, 3, 1, 2)  # (T, H, W, C) -> (T, C, H, W)


@given(st.integers(1, 400), st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_chosen_frames_rise_evenly_from_the_first_to_the_last(n, t):
    chosen = evenly(n, t)
    assert len(chosen) == t and (chosen >= 0).all() and (chosen < n).all()
    if t > 1:
        steps = np.diff(chosen)
        assert (chosen[0], chosen[-1]) == (0, n - 1) and steps.max() - steps.min() <= 1
    if n == t:
        assert chosen.tolist() == list(range(n))


def test_chosen_frames_by_hand():
    assert evenly(16, 4).tolist() == [0, 5, 10, 15] and evenly(9, 3).tolist() == [0, 4, 8]
    assert evenly(2, 4).tolist() == [0, 0, 1, 1] and evenly(5, 1).tolist() == [2]


def test_folders_of_frames_are_recognised_and_read_in_the_order_of_their_numbers(tmp_path):
    data = load(make_frames(tmp_path, t=12), cache=False, frames=12)
    assert data.task == "video" and data.kind == "video" and data.classes == ["run", "walk"]
    assert data.inputs.shape == (8, 12, 3, 12, 20)
    assert np.array_equal(data.inputs[0], first(film(1, 12)))  # 10 comes after 9
    assert "clips of 12 frames of 12 x 20 pixels" in str(data)


def test_folders_of_frames_below_parts_and_a_wrapper(tmp_path):
    make_frames(tmp_path / "all", each=3, parts=("train", "val", "test"))
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [6, 6, 6]
    assert data.inputs.shape[:2] == (18, 16)  # 16 of 8: each shown twice
    assert np.array_equal(data.inputs[0][::2], data.inputs[0][1::2])


def test_numbered_photographs_below_class_folders_are_no_film_unless_asked_for(tmp_path):
    for name in ("cat", "dog"):
        for k in range(3):
            folder = tmp_path / name / f"set_{k}"
            folder.mkdir(parents=True)
            for f in range(4):
                seed = 100 * (name == "cat") + 10 * k + f
                (folder / f"{f}.png").write_bytes(encoded(noise_u8(9, 9, 3, seed=seed)))
    assert load(tmp_path, cache=False).task == "classification"
    assert load(tmp_path, cache=False, task="video", frames=4).inputs.shape == (6, 4, 3, 9, 9)


def test_a_broken_frame_takes_its_clip_along_and_is_told(tmp_path):
    make_frames(tmp_path)
    (tmp_path / "run/clip_2/frame_7.png").write_bytes(b"no")
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 7
    assert kinds(data)["unreadable clip"][0].where == "run/clip_2"
    assert "frame_7" in kinds(data)["unreadable clip"][0].detail


def test_strips_are_cut_where_the_table_says_nothing_about_frames(tmp_path):
    data = load(make_strips(tmp_path), cache=False, frames=6)
    assert data.task == "video" and data.inputs.shape == (8, 6, 3, 12, 20)
    assert np.array_equal(data.inputs[3], first(film(3, 6)))
    assert data.labels.tolist() == [0, 1] * 4 and data.indices["test"].tolist() == [6, 7]
    assert "6 frames of 12 pixels" in kinds(data)["strips of frames"][0].detail


@pytest.mark.parametrize(("t", "size"), [(2, (24, 32)), (5, (9, 12)), (16, (60, 80)), (30, (8, 6))])
def test_the_height_of_frames_is_found(t, size):
    strips = [film(k, t, size).mean(-1).reshape(-1, size[1]) for k in range(4)]
    assert frame_height(strips, t * size[0]) == size[0]


def test_a_scene_that_does_not_move_is_cut_at_its_smallest_repeat():
    still = np.tile(noise_u8(10, 16, seed=1).astype(float), (6, 1))
    assert frame_height([still], 60) == 10


def test_clips_of_one_source_are_in_one_part(tmp_path):
    make_strips(tmp_path, 24)
    lines = (tmp_path / "clips.tsv").read_text().splitlines()[1:]
    rows = [f"{line.rsplit(chr(9), 1)[0]}\ts{k // 2 % 6}" for k, line in enumerate(lines)]
    (tmp_path / "clips.tsv").write_text("clip\tlabel\tsource\n" + "\n".join(rows))
    data = load(tmp_path, cache=False)
    parts = [{i // 2 % 6 for i in data.indices[p]} for p in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 6 and all(parts)
    assert "near duplicate" not in kinds(data)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("c0\ta\ttrain", "a clip twice"),
        ("c99\t\ttrain", "without a label"),
        ("c99\ta", "not as many cells"),
        ("c99\ta\ttrain\tmore", "not as many cells"),
    ],
)
def test_tables_of_clips_that_make_no_sense_are_refused_by_line(tmp_path, line, what):
    make_strips(tmp_path)
    path = tmp_path / "clips.tsv"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"clips.tsv, line 10.*{what}"):
        load(tmp_path, cache=False)


def test_clips_that_are_not_there_and_strips_of_another_height_are_told(tmp_path):
    make_strips(tmp_path, 12)
    (tmp_path / "clips/c1.png").unlink()
    (tmp_path / "clips/c2.png").write_bytes(encoded(noise_u8(60, 20, 3)))
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 10 and kinds(data)["missing clip"][0].where == "c1"
    assert kinds(data)["unreadable clip"][0].detail == "60 pixels tall, the others 72"


@pytest.mark.parametrize("channels_last", [True, False])
def test_arrays_of_five_axes_are_clips(channels_last):
    clips = np.stack([film(k) for k in range(12)])  # (N, T, H, W, C)
    given_ = clips if channels_last else clips.transpose(0, 1, 4, 2, 3)
    data = load(given_, labels=["a", "b"] * 6)
    assert data.task == "video" and data.inputs.shape == (12, 8, 3, 12, 20)
    assert np.array_equal(data.inputs, clips.transpose(0, 1, 4, 2, 3))
    few = load(given_, labels=["a", "b"] * 6, frames=3, image_size=6, mode="L")
    assert few.inputs.shape == (12, 3, 1, 6, 6)
    assert few.test.X.shape[1:] == (3, 1, 6, 6) and data.input_shape == (8, 3, 12, 20)


def test_arrays_of_clips_in_a_file(tmp_path):
    clips = np.stack([film(k) for k in range(12)])
    np.savez(tmp_path / "c.npz", x=clips, y=np.arange(12) % 2)
    assert load(tmp_path / "c.npz", cache=False, task="video").inputs.shape == (12, 8, 3, 12, 20)


def test_clips_without_frames_are_refused():
    with pytest.raises(DataError, match="clips without frames"):
        load(np.zeros((4, 0, 3, 8, 8), np.uint8), labels=[0, 1, 0, 1])


def test_pictures_are_no_clips(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded(noise_u8(8, 8)))
    with pytest.raises(DataError, match=r"nothing for task 'video'.*folder of videos"):
        load(tmp_path, cache=False, task="video")


@pytest.mark.parametrize("frames", [0, -1, 1.5, True, 10**6])
def test_a_number_of_frames_that_is_none_is_refused(frames):
    with pytest.raises(InputError, match="frames is"):
        load("digits", frames=frames)

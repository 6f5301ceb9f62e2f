"""Clips: what moves tells what a frame does not; the contract of a task; bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.data.dataset import Dataset
from depthwise.data.inputs import as_clips
from depthwise.errors import InputError, ModelFileError
from depthwise.families.cnn import CNN
from depthwise.models.modelfile import read_model
from depthwise.tasks.video.classifier import SIZES, VideoClassifier
from depthwise.tasks.video.network import TEMPORAL, SpaceTime, VideoNetwork, motion

T, SIDE = 4, 8
QUICK: dict[str, Any] = {
    "size": "xs",
    "augment": None,
    "epochs": 8,
    "lr": 6e-3,
    "dropout": 0.1,
    "batch_size": 16,
    "threads": 1,
    "precision": "float32",
}
Clips = tuple[np.ndarray, np.ndarray]


def moving(n: int, seed: int) -> Clips:
    """n clips (n, 4, 1, 8, 8) of a square that moves to the left or to the right by 2 pixels a
    frame, round the edge; where it starts is chance, so that no frame tells which."""
    rng = np.random.default_rng(seed)
    clips = rng.integers(0, 40, (n, T, 1, SIDE, SIDE)).astype(np.uint8)
    right = rng.integers(0, 2, n)
    for clip, way in zip(clips, right, strict=True):
        top, start = rng.integers(0, 4), rng.integers(0, SIDE)
        for t in range(T):
            columns = (start + (2 * t if way else -2 * t) + np.arange(4)) % SIDE
            clip[t, 0, top : top + 4, columns] = 220
    return clips, np.where(right, "right", "left")


def load(folder: Path) -> VideoClassifier:
    model: VideoClassifier = read_model(folder, {"video": VideoClassifier})
    return model


@pytest.fixture(scope="module")
def clips() -> Clips:
    return moving(200, 0)


@pytest.fixture(scope="module")
def trained(clips: Clips) -> dict[str, VideoClassifier]:
    """One model for each way to see time, and one of single frames."""
    shorter = {**QUICK, "epochs": 3}  # has nothing to find
    models = {name: VideoClassifier(temporal=name, **QUICK) for name in ("attention", "conv")}
    models |= {name: VideoClassifier(temporal=name, **shorter) for name in ("none", "motion")}
    models["frame"] = VideoClassifier(temporal="none", frames=1, **shorter)
    return {name: model.fit(*clips) for name, model in models.items()}


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN that has learnt in which row of a frame the square is."""
    X, _ = moving(60, 3)
    frames = X.reshape(-1, 1, SIDE, SIDE)
    rows = frames.mean(axis=(1, 3)).argmax(axis=1) // 4
    model = CNN(size="xxs", epochs=3, threads=1, precision="float32").fit(frames, rows)
    return Path(model.save(tmp_path_factory.mktemp("models") / "below"))


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("temporal", ["attention", "conv"])
def test_which_way_something_moves_is_learnt(
    trained: dict[str, VideoClassifier], temporal: str
) -> None:
    assert trained[temporal].score(*moving(100, 1)) > 0.9


@pytest.mark.parametrize("name", ["none", "frame", "motion"])
def test_which_way_something_moves_is_in_no_frame_and_no_amount(
    trained: dict[str, VideoClassifier], name: str
) -> None:
    assert 0.3 < trained[name].score(*moving(100, 1)) < 0.7


@pytest.mark.parametrize("temporal", TEMPORAL)
def test_the_order_of_frames_counts_unless_each_speaks_for_itself(
    trained: dict[str, VideoClassifier], temporal: str
) -> None:
    X, model = moving(40, 1)[0], trained[temporal]
    backwards = np.ascontiguousarray(X[:, ::-1])
    there, back = model.predict_proba(X), model.predict_proba(backwards)
    mixed = model.predict_proba(np.ascontiguousarray(X[:, [0, 2, 1, 3]]))
    if temporal in ("attention", "conv"):
        assert (there.argmax(axis=1) != back.argmax(axis=1)).mean() > 0.8
    else:
        assert np.allclose(there, mixed, atol=1e-5) is (temporal == "none")
    if temporal == "none":
        np.testing.assert_allclose(there, back, atol=1e-5)


def test_how_much_moves_is_learnt_where_nothing_else_differs() -> None:
    """Clips that stand still against the same with their frames moved on."""
    X = moving(120, 4)[0]
    still = np.repeat(X[:60, :1], T, axis=1)
    both, y = np.concatenate([still, X[60:]]), np.repeat([0, 1], 60)
    learn = np.arange(120) % 2 == 0
    model = VideoClassifier(**{**QUICK, "temporal": "motion"}).fit(both[learn], y[learn])
    assert model.score(both[~learn], y[~learn]) > 0.9


def test_frames_looked_at_are_spread_evenly_and_the_single_one_is_the_middle(
    trained: dict[str, VideoClassifier],
) -> None:
    X = moving(8, 2)[0]
    single = trained["frame"].predict_proba(X)
    others = X.copy()
    others[:, np.arange(T) != T // 2] = 0
    np.testing.assert_allclose(trained["frame"].predict_proba(others), single, atol=1e-6)
    model = VideoClassifier(**{**QUICK, "frames": 3})  # of four: 0, 2 (1.5 rounded up), 3
    network = model.build(X.shape[1:], 2).eval()
    seen, moved = torch.from_numpy(X), torch.from_numpy(X.copy())
    moved[:, 1] = 0
    with torch.no_grad():
        torch.testing.assert_close(network(moved), network(seen))


def test_motion_is_the_mean_change_of_each_channel() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 3, 5, 7)
    got = motion(maps).numpy()
    for b in range(2):
        for c in range(3):
            changes = [
                np.log(1e-3 + np.abs((maps[b, t, c] - maps[b, t - 1, c]).numpy()).mean())
                for t in (1, 1, 2, 3)
            ]
            np.testing.assert_allclose(got[b, :, c], changes, rtol=1e-4)
    assert not motion(maps[:, :1]).any()


def test_a_convolution_of_time_is_that_of_three_dimensions() -> None:
    """Against torch's own Conv3d: 1x3x3, then 3x1x1."""
    block = SpaceTime(4).eval()
    x = torch.randn(2, 5, 4, 3, 6)
    with torch.no_grad():
        hidden = nn.functional.conv3d(
            x.transpose(1, 2), block.space.weight[:, :, None], padding=(0, 1, 1)
        )
        hidden = torch.relu(hidden / (1 + block.norm.eps) ** 0.5)
        moved = nn.functional.conv3d(
            hidden, block.time.weight[..., None], block.time.bias, padding=(1, 0, 0)
        )
        torch.testing.assert_close(block(x), x + moved.transpose(1, 2), rtol=1e-4, atol=1e-5)


# -- the contract ---------------------------------------------------------------------------------


@pytest.mark.parametrize("temporal", TEMPORAL)
def test_a_batch_answers_as_singles(trained: dict[str, VideoClassifier], temporal: str) -> None:
    X, model = moving(7, 2)[0], trained[temporal]
    singles = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(model.predict_proba(X), singles, atol=1e-5)


@pytest.mark.parametrize("temporal", TEMPORAL)
def test_save_then_load_answers_the_same(
    trained: dict[str, VideoClassifier], temporal: str, tmp_path: Path
) -> None:
    X, model = moving(9, 2)[0], trained[temporal]
    model.save(tmp_path)
    again = load(tmp_path)
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_params() == model.get_params()
    assert again.input_shape_ == (T, 1, SIDE, SIDE)


def test_floats_are_bytes_by_255(trained: dict[str, VideoClassifier], clips: Clips) -> None:
    X, y = clips
    model = VideoClassifier(**{**QUICK, "epochs": 1}).fit(X[:40], y[:40])
    floats = VideoClassifier(**{**QUICK, "epochs": 1}).fit((X[:40] / 255).astype("float32"), y[:40])
    p, q = model.predict_proba(X[:9]), floats.predict_proba((X[:9] / 255).astype("float32"))
    np.testing.assert_allclose(p, q, atol=0.02)
    with pytest.raises(InputError, match="must not be mixed"):
        model.predict(X[:2] / 255)


@pytest.mark.parametrize("temporal", TEMPORAL)
def test_what_a_head_learnt_alone_is_what_the_whole_network_answers(
    clips: Clips, below: Path, temporal: str, tmp_path: Path
) -> None:
    X, y = clips[0][:60], clips[1][:60]
    settings = {**QUICK, "backbone": str(below), "temporal": temporal, "enlarge": 1}
    model = VideoClassifier(**settings)
    before = model._below(X.shape[1:], pretrained=True).state_dict()
    model.fit(X, y, validation=moving(20, 5))
    with torch.no_grad():
        logits = model.network_(torch.from_numpy(X))
        alone = model.network_.head(torch.from_numpy(model._features(X)))
    np.testing.assert_allclose(logits.softmax(dim=1), model.predict_proba(X), atol=1e-5)
    torch.testing.assert_close(alone, logits, rtol=1e-3, atol=1e-3)
    assert "score" in model.history_["epochs"][0]
    for name, tensor in model.network_.backbone.state_dict().items():
        assert torch.equal(tensor, before[name])  # a frozen backbone is left as it was
    model.save(tmp_path)
    assert np.array_equal(load(tmp_path).predict_proba(X), model.predict_proba(X))


def test_what_is_seen_is_standardised_by_the_training_clips(clips: Clips, below: Path) -> None:
    model = VideoClassifier(**{**QUICK, "backbone": str(below), "epochs": 1, "enlarge": 1})
    seen = model.fit(clips[0][:60], clips[1][:60])._features(clips[0][:60])
    np.testing.assert_allclose(seen.mean(axis=(0, 1)), 0, atol=1e-3)
    assert np.median(seen.std(axis=(0, 1))) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("frozen", [False, True])
def test_partial_fit_learns_in_pieces(clips: Clips, below: Path, frozen: bool) -> None:
    X, y = clips[0][:60], clips[1][:60]
    settings = {**QUICK, "enlarge": 1} | ({"backbone": str(below)} if frozen else {})
    model = VideoClassifier(**settings)
    for _ in range(2):
        for part in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[part], y[part], classes=["left", "right"])
    assert isinstance(model.network_, VideoNetwork)
    before = model.predict_proba(X)
    model.partial_fit(X, y)
    assert not np.array_equal(model.predict_proba(X), before)


def test_transform_gives_what_is_seen_and_its_summary(trained: dict[str, VideoClassifier]) -> None:
    X, model = moving(5, 2)[0], trained["attention"]
    assert model.transform(X).shape == (5, SIZES["xs"].width)
    channels = model.network_.backbone.channels
    assert model.transform(X, 1).shape == (
        5,
        T * (model.network_.backbone.n_embedding + sum(channels)),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("temporal", [None, "conv"])
def test_every_rung_is_built_without_memory(size: str, temporal: str | None) -> None:
    with torch.device("meta"):
        network = VideoClassifier(size=size, temporal=temporal).build((16, 3, 60, 80), 5)
        assert network(torch.empty(2, 16, 3, 60, 80)).shape == (2, 5)


def test_a_dataset_of_clips_is_fitted_and_its_labels_are_names(clips: Clips) -> None:
    X, y = clips
    parts = {"train": np.arange(60), "validation": np.arange(60, 80), "test": np.arange(80, 120)}
    labels = (y == "right").astype(np.int64)
    data = Dataset("moving", "video", X, labels, ["left", "right"], parts, task="video")
    model = VideoClassifier(**{**QUICK, "epochs": 1}).fit(data)
    assert model.classes_.tolist() == ["left", "right"]
    assert "score" in model.history_["epochs"][0]
    assert model.split_ == data.split_marks


@pytest.mark.parametrize("temporal", ["attention", "conv"])
def test_the_exported_network_answers_the_same(
    trained: dict[str, VideoClassifier], temporal: str
) -> None:
    network = trained[temporal].network_
    x = torch.from_numpy(moving(3, 2)[0])
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(network, (x,), dynamic_shapes=(batch,)).module()
    with torch.no_grad():
        torch.testing.assert_close(program(x[:2]), network(x[:2]), rtol=1e-4, atol=1e-5)


# -- bad input ------------------------------------------------------------------------------------


def test_clips_are_taken_as_they_are() -> None:
    clips = np.zeros((2, 3, 1, 5, 7), np.uint8)
    assert as_clips(clips) is clips
    assert as_clips(torch.from_numpy(clips)).shape == clips.shape
    assert as_clips(clips / 255).dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((2, 3, 5, 7), r"clips\[:, None\]"),
        ((2, 7), r"\(N, T, C, H, W\)"),
        ((0, 3, 1, 5, 7), "0 items"),
        ((2, 0, 1, 5, 7), "0 frames"),
        ((2, 8, 16, 17, 3), r"\(N, T, H, W, C\).*transpose\(0, 1, 4, 2, 3\)"),
        ((2, 3, 8, 16, 17), r"\(N, C, T, H, W\).*transpose\(0, 2, 1, 3, 4\)"),
    ],
)
def test_what_is_no_batch_of_clips_is_told(shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        as_clips(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("order", "back"), [((0, 1, 3, 4, 2), (0, 1, 4, 2, 3)), ((0, 2, 1, 3, 4), (0, 2, 1, 3, 4))]
)
def test_the_remedy_for_another_order_of_axes_is_right(
    order: tuple[int, ...], back: tuple[int, ...]
) -> None:
    clips = np.zeros((2, 6, 3, 8, 9), np.uint8)
    with pytest.raises(InputError, match=", ".join(map(str, back))):
        as_clips(clips.transpose(order))
    assert as_clips(clips.transpose(order).transpose(back)).shape == clips.shape


def test_a_pixel_that_is_no_number_is_found() -> None:
    clips = np.zeros((3, 2, 1, 4, 4), np.float32)
    clips[1, 1, 0, 2, 2] = np.nan
    with pytest.raises(InputError, match=r"clips\[1\] contains NaN"):
        as_clips(clips)
    with pytest.raises(InputError, match="uint8 or float"):
        as_clips(np.zeros((3, 2, 1, 4, 4), np.int32))


def test_clips_of_another_length_and_other_things_are_refused(
    trained: dict[str, VideoClassifier],
) -> None:
    model, X = trained["none"], moving(3, 2)[0]
    with pytest.raises(InputError, match=r"clips of \(3, 1, 8, 8\).*fitted on"):
        model.predict(X[:, :3])
    with pytest.raises(InputError, match=r"clips must be \(N, T, C, H, W\)"):
        model.predict(X[0])
    with pytest.raises(InputError, match=r"clips of \(4, 1, 8, 8\).*flat rows"):
        model.predict(X.reshape(3, -1))
    with pytest.raises(InputError, match=r"clips must be \(N, T, C, H, W\)"):
        VideoClassifier(**QUICK).fit(np.zeros((4, 30)), [0, 1, 0, 1])


def test_a_model_of_images_says_whose_clips_are() -> None:
    with pytest.raises(InputError, match="Clips are for VideoClassifier"):
        CNN(size="xxs").fit(moving(4, 0)[0], [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", "xl"), ("temporal", "lstm"), ("frames", 0), ("dropout", 1.0), ("enlarge", 9),
     ("freeze", 7), ("backbone_rate", 0)],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, clips: Clips) -> None:
    with pytest.raises(InputError, match=f"{name} .*{value}"):
        VideoClassifier(**{**QUICK, name: value}).fit(clips[0][:8], clips[1][:8])


def test_a_description_that_lies_is_refused(
    trained: dict[str, VideoClassifier], tmp_path: Path
) -> None:
    path = trained["none"].save(tmp_path) / "model.json"
    about = json.loads(path.read_text())
    for change in ({"temporal": "conv"}, {"size": "tiny"}):
        path.write_text(json.dumps({**about, "settings": {**about["settings"], **change}}))
        with pytest.raises(ModelFileError):
            load(tmp_path)

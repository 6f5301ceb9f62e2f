"""One interface for every backbone: maps, freezing, gentler rates, rebuilding without a file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.backbones.images import huggingface
from depthwise.backbones.images.features import Backbone, Raw
from depthwise.backbones.images.named import backbone, is_pretrained, rebuild
from depthwise.catalog import load_model
from depthwise.compute import Compute
from depthwise.errors import InputError, MissingExtraError
from depthwise.families.cnn import CNN, CNNRegressor
from depthwise.layers import Standardise
from depthwise.reshaping.edits import reshape
from depthwise.reshaping.folding import foldable
from depthwise.training.step import BackboneUpdate, Recipe

KINDS = ["efficientnet-lite0", "cnn-xxs", "residual-xs", "folder"]
SHAPE = (1, 40, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: Any) -> Path:
    path = tmp_path_factory.mktemp("models") / "cnn"
    model = CNN(size="xxs", width=3, blocks=2, epochs=1).fit(digits[0][:200], digits[1][:200])
    return Path(model.save(path))


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, folder: Path) -> Backbone:
    name = str(folder) if request.param == "folder" else request.param
    scratch = request.param != "folder"
    torch.manual_seed(0)
    return backbone(name, SHAPE, pretrained=not scratch, embedding=True).eval()


def images(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_maps_are_as_promised(made: Backbone) -> None:
    maps = made.features(images(2, *SHAPE))
    assert len(maps) == len(made.channels) == len(made.strides)
    for got, channels, stride in zip(maps, made.channels, made.strides, strict=True):
        assert got.shape == (2, channels, *(-(-side // int(stride)) for side in SHAPE[1:]))


def test_the_embedding_has_the_promised_width(made: Backbone) -> None:
    x = images(3, *SHAPE)
    assert made(x).shape == (3, made.n_embedding)
    torch.testing.assert_close(made(x), made.embed(made.features(x)[-1]))


def test_a_description_makes_the_same_network_without_memory_or_files(made: Backbone) -> None:
    made.freeze(1)
    description = json.loads(json.dumps(made.description))
    with torch.device("meta"):
        again = rebuild(description)
    assert all(tensor.is_meta for tensor in again.state_dict().values())
    again.load_state_dict(made.state_dict(), assign=True)
    x = images(2, *SHAPE)
    assert torch.equal(again.eval()(x), made.eval()(x))
    assert again.frozen == 1
    assert again.description == description


@pytest.mark.parametrize("name", KINDS[:3])
def test_the_description_alone_is_enough_without_the_package_of_weights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        description = backbone(name, (3, 33, 47)).description
        monkeypatch.setattr("depthwise.backbones.images.named.load_pretrained", None)
        assert rebuild(description).description == description


@pytest.mark.parametrize("stages", [0, 1, 2, "all"])
def test_frozen_stages_stay_as_they_are_and_the_others_learn(made: Backbone, stages: Any) -> None:
    made.freeze(stages)
    network = nn.Sequential(made, nn.Linear(made.n_embedding, 2))
    before = copy.deepcopy(made.state_dict())
    network.train()
    update = BackboneUpdate(
        network, nn.functional.cross_entropy, Recipe(lr=0.1), Compute(), below=made, share=1.0
    )
    update(images(4, *SHAPE), torch.tensor([0, 1, 0, 1]), 0.5)
    parts = made.stages()
    for i, part in enumerate(parts):
        learns = i >= (len(parts) if stages == "all" else stages)
        names = {id(t) for module in part for t in (*module.parameters(), *module.buffers())}
        own = [name for name, t in made.state_dict(keep_vars=True).items() if id(t) in names]
        changed = [not torch.equal(before[name], made.state_dict()[name]) for name in own]
        assert any(changed) is learns


def test_statistics_that_are_kept_stay_and_the_weights_learn(made: Backbone) -> None:
    made.keeps_statistics = True
    network = nn.Sequential(made, nn.Linear(made.n_embedding, 2)).train()
    before = copy.deepcopy(made.state_dict())
    update = BackboneUpdate(
        network, nn.functional.cross_entropy, Recipe(lr=0.1), Compute(), below=made, share=1.0
    )
    update(images(4, *SHAPE), torch.tensor([0, 1, 0, 1]), 0.5)
    after = made.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in after if "running" in name)
    assert not all(torch.equal(a, b) for a, b in zip(before.values(), after.values(), strict=True))
    assert rebuild(made.description).keeps_statistics


def test_freezing_more_stages_than_there_are_is_refused(made: Backbone) -> None:
    with pytest.raises(InputError, match=r'freeze must be 0 \.\. \d stages or "all"; got 9'):
        made.freeze(9)
    with pytest.raises(InputError, match="freeze"):
        made.freeze("most")


def test_the_backbone_learns_at_its_share_of_the_rate() -> None:
    """SGD's first step without momentum behind it is (1 + 0.9) rate times the gradient."""
    below, above = nn.Linear(3, 2, bias=False), nn.Linear(2, 1, bias=False)
    network = nn.Sequential(below, above)
    before = [below.weight.clone(), above.weight.clone()]
    recipe = Recipe(lr=0.1, optimizer="sgd", schedule="constant", weight_decay=0, clip_norm=None)
    update = BackboneUpdate(
        network, lambda z, y: (z[:, 0] * y).sum(), recipe, Compute(), below=below, share=0.25
    )
    x, y = torch.randn(5, 3), torch.randn(5)
    gradients = torch.autograd.grad((network(x)[:, 0] * y).sum(), [below.weight, above.weight])
    update(x, y, 0.5)
    torch.testing.assert_close(before[0] - below.weight, 0.25 * 0.19 * gradients[0])
    torch.testing.assert_close(before[1] - above.weight, 0.19 * gradients[1])


def test_a_trained_cnn_sees_what_it_saw_in_its_family(folder: Path, digits: Any) -> None:
    x = torch.from_numpy(digits[2][:9])
    network: Any = load_model(folder).network_
    below = backbone(folder, (1, 8, 8), embedding=True).eval()
    torch.testing.assert_close(below(x), network.representations(x)[-1])


def test_the_scale_of_a_trained_cnn_is_not_set_anew(folder: Path) -> None:
    assert not [m for m in backbone(folder, SHAPE).modules() if isinstance(m, Standardise)]


def test_a_cnn_of_grey_digits_takes_colour_by_its_luma(folder: Path) -> None:
    """ITU-R BT.601: Y = 0.299 R + 0.587 G + 0.114 B."""
    colour = images(2, 3, 8, 8)
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    raw = Raw(3, 1)
    torch.testing.assert_close(raw(colour), (colour * weights).sum(dim=1, keepdim=True))
    assert backbone(folder, (3, 8, 8), embedding=True).eval()(colour).shape == (2, 24)


def test_bytes_and_floats_of_the_same_picture_are_the_same() -> None:
    x = images(2, 3, 5, 7)
    torch.testing.assert_close(Raw(3, 3)(x.float() / 255), Raw(3, 3)(x))


def test_an_enlarged_picture_has_finer_strides() -> None:
    made = backbone("efficientnet-lite0", (3, 32, 32), pretrained=False, enlarge=4)
    assert made.strides == (1, 2, 4, 8)
    assert [tuple(m.shape[2:]) for m in made.features(images(1, 3, 32, 32))][-1] == (4, 4)


def test_a_folded_cnn_serves_as_before_it_was_folded(folder: Path, tmp_path: Path) -> None:
    model: Any = load_model(folder)
    edit = foldable(model.network_)
    assert edit is not None
    model.network_ = reshape(model.network_, [edit])
    model.save(tmp_path / "folded")
    x = images(3, *SHAPE)
    before, after = (
        backbone(path, SHAPE, embedding=True).eval() for path in (folder, tmp_path / "folded")
    )
    assert not [m for m in after.modules() if isinstance(m, nn.BatchNorm2d)]
    torch.testing.assert_close(after(x), before(x), rtol=1e-3, atol=1e-4)
    with torch.device("meta"):
        again = rebuild(json.loads(json.dumps(after.description)))
    again.load_state_dict(after.state_dict(), assign=True)
    assert torch.equal(again.eval()(x), after(x))


def test_a_regressors_network_serves_as_well(digits: Any, tmp_path: Path) -> None:
    y = digits[1][:200].astype(float)
    CNNRegressor(size="xxs", epochs=1).fit(digits[0][:200], y).save(tmp_path / "model")
    made = backbone(tmp_path / "model", (1, 8, 8), embedding=True)
    assert made.channels == (4, 8, 16)
    assert made(images(2, 1, 8, 8)).shape == (2, 32)


@pytest.mark.parametrize("name", ["efficientnet-lite9", "cnn-huge", "residual-xxl", "nowhere"])
def test_an_unknown_name_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"there is no backbone .*(cnn-s|residual-s|cnn-xxs)"):
        backbone(name, SHAPE)


@pytest.mark.parametrize("shape", [(3, 8), (0, 8, 8), (1, 2, 3, 4)])
def test_a_shape_that_is_none_is_told(shape: Any) -> None:
    with pytest.raises(InputError, match=r"input_shape must be \(C, H, W\)"):
        backbone("cnn-s", shape)


@pytest.mark.parametrize(
    "change",
    [{"kind": "os"}, {"rung": [0, 1, False]}, {"rung": [4, 10**9, False]}, {"input_shape": [1]}],
)
def test_a_description_that_is_nonsense_is_refused(change: dict[str, Any]) -> None:
    description = backbone("cnn-xxs", SHAPE).description
    with pytest.raises((ValueError, KeyError, TypeError)), torch.device("meta"):
        rebuild({**description, **change})


def test_only_names_of_what_was_learnt_count_as_pretrained(folder: Path) -> None:
    told = {"cnn-s": False, "residual-m": False, "efficientnet-lite0": True, str(folder): True}
    assert {name: is_pretrained(name) for name in told} == told


# -- transformers ---------------------------------------------------------------------------------


def test_without_transformers_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(huggingface.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r'pip install "depthwise\[transformers\]"'):
        backbone("microsoft/resnet-18", (3, 32, 32))


class StandIn(nn.Module):
    """What a model of transformers does: hidden states of two resolutions, one as tokens."""

    class config:
        image_size, num_attention_heads = 16, 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 3))

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> Any:
        assert pixel_values.shape[2:] == (16, 16)
        patches = nn.functional.avg_pool2d(pixel_values, 4).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros(len(patches), 1, 3), patches], dim=1) @ self.weight.T

        class Answer:
            hidden_states = (tokens,)

        return Answer


def test_tokens_go_back_to_rows_and_columns_without_the_one_of_no_patch() -> None:
    made = huggingface.TransformersBackbone(
        StandIn(), (3, 32, 32), (0.0,) * 3, (1.0,) * 3, embedding=True
    )
    assert made.channels == (5,)
    assert made.strides == (8,)
    x = torch.rand(2, 3, 32, 32)
    sums = nn.functional.avg_pool2d(x, 8).sum(dim=1)  # bilinear halving averages two by two
    torch.testing.assert_close(made.features(x)[0], sums[:, None].expand(-1, 5, -1, -1))


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation", "quantization_config"])
def test_what_names_code_in_a_config_is_left_out(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        class AutoConfig:
            @staticmethod
            def for_model(kind: str, **about: Any) -> Any:
                asked.append((kind, about))
                raise ValueError("enough")

    monkeypatch.setattr(huggingface, "_transformers", lambda: Library)
    about = {"model_type": "vit", "hidden_size": 8, key: "somebody/code"}
    with pytest.raises(ValueError, match="enough"):
        rebuild({"kind": "transformers", "config": about})
    assert asked == [("vit", {"hidden_size": 8})]


@pytest.mark.parametrize("kind", ["ResNet", "ViT"])
def test_a_model_of_transformers_is_rebuilt_from_its_description(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra `transformers`")
    configs = {
        "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        "ViT": {"hidden_size": 8, "num_attention_heads": 2, "image_size": 16, "patch_size": 8},
    }
    config = getattr(transformers, f"{kind}Config")(**configs[kind])
    model = transformers.AutoModel.from_config(config)
    model.save_pretrained(tmp_path)
    made = backbone(tmp_path, SHAPE, embedding=True).eval()
    with torch.device("meta"):
        again = rebuild(json.loads(json.dumps(made.description)))
    again.load_state_dict(made.state_dict(), assign=True)
    assert torch.equal(again.eval()(images(2, *SHAPE)), made(images(2, *SHAPE)))

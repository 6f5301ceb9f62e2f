"""Zip and tar archives, honest and hostile; nothing is ever written outside the cache."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_pictures import encoded, make_folder, noise_u8

from depthwise.data.load import load
from depthwise.data.readers.trees.archive import ZipTree
from depthwise.errors import DataError


def zipped(folder, path, how=zipfile.ZIP_DEFLATED, prefix=""):
    with zipfile.ZipFile(path, "w", how) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("prefix", ["", "pets/"])
def test_a_zip_reads_like_its_folder(tmp_path, how, prefix):
    folder = make_folder(tmp_path / "d", parts=("train", "test"))
    plain, packed = load(folder), load(zipped(folder, tmp_path / "d.zip", how, prefix))
    assert np.array_equal(plain.inputs, packed.inputs) and plain.classes == packed.classes
    assert plain.fingerprint == packed.fingerprint


def test_a_tar_reads_like_its_folder(tmp_path):
    folder = make_folder(tmp_path / "d")
    for mode in ("w", "w:gz"):
        with tarfile.open(tmp_path / "d.tar", mode) as archive:
            archive.add(folder, "./d")
        assert np.array_equal(load(tmp_path / "d.tar").inputs, load(folder).inputs)


def test_names_that_point_outside_are_left_out_and_reported(tmp_path):
    path = zipped(make_folder(tmp_path / "d"), tmp_path / "d.zip")
    evil = ["../up.png", "/etc/cat/x.png", "cat/../../x.png", "C:\\cat\\x.png", "..\\cat\\x.png"]
    with zipfile.ZipFile(path, "a") as archive:
        for name in evil:
            archive.writestr(name, encoded(noise_u8(9, 11, 3, seed=50)))
    data = load(path)
    refused = [p.where for p in data.problems if p.kind == "unsafe archive member"]
    assert len(refused) == 5 and len(data.labels) == 14
    assert not (tmp_path / "up.png").exists() and not (tmp_path.parent / "up.png").exists()


def test_links_in_archives_are_left_out(tmp_path):
    path = zipped(make_folder(tmp_path / "d"), tmp_path / "d.zip")
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert [p.where for p in load(path).problems if "unsafe" in p.kind] == ["cat/link.png"]

    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(tmp_path / "d", "d")
        member = tarfile.TarInfo("d/cat/link.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert [p.where for p in load(tmp_path / "d.tar").problems if "unsafe" in p.kind] == [
        "d/cat/link.png"
    ]


def test_a_zip_bomb_is_refused_before_unpacking(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(4):
            archive.writestr(f"cat/{k}.png", b"\0" * (30 << 20))
    with pytest.raises(DataError, match="bomb"):
        load(tmp_path / "b.zip")


def test_a_member_that_holds_more_than_it_promises_is_cut_short_and_named(tmp_path):
    path = zipped(make_folder(tmp_path / "d"), tmp_path / "d.zip")
    whole = bytearray(path.read_bytes())
    name = b"cat/3.png"
    entry = whole.rindex(name) - 46  # its place in the central directory, APPNOTE 4.3.12
    whole[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(whole))
    data = load(path)
    assert [p.where for p in data.problems if p.kind == "unreadable picture"] == ["cat/3.png"]


def test_encrypted_members_are_reported(tmp_path):
    path = zipped(make_folder(tmp_path / "d"), tmp_path / "d.zip")
    whole = bytearray(path.read_bytes())
    whole[whole.rindex(b"cat/3.png") - 46 + 8] |= 1
    path.write_bytes(bytes(whole))
    assert "encrypted" in next(p.detail for p in load(path).problems if "unsafe" in p.kind)


@pytest.mark.parametrize("keep", [10, 0.5, -30])
def test_a_cut_off_zip_is_refused(tmp_path, keep):
    path = zipped(make_folder(tmp_path / "d"), tmp_path / "d.zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="not a sound zip"):
        load(path)


@pytest.mark.parametrize("size", [700, 5000])
def test_a_cut_off_tar_is_refused(tmp_path, size):
    with tarfile.open(tmp_path / "d.tar", "w:gz") as archive:
        archive.add(make_folder(tmp_path / "d", each=20), "d")
    whole = (tmp_path / "d.tar").read_bytes()
    (tmp_path / "d.tar").write_bytes(whole[:size])
    with pytest.raises(DataError, match="cut off"):
        load(tmp_path / "d.tar")


def small_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(6):
            archive.writestr(f"{'ab'[k % 2]}/{k}.png", encoded(noise_u8(4, 4, seed=k)))
    return buffer.getvalue()


SMALL = small_zip()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=4))
@example(SMALL.index(b"PK\1\2") + 46, b"\0")  # a member without a name
def test_a_damaged_zip_gives_files_or_one_data_error(place, damage):
    import tempfile
    from pathlib import Path

    whole = bytearray(SMALL)
    whole[place : place + len(damage)] = damage
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.zip"
        path.write_bytes(bytes(whole))
        try:
            assert len(load(path, cache=False).labels) <= 6
            for name in (tree := ZipTree(path)).sizes:
                tree.head(name)
        except DataError as error:
            assert "\n" not in str(error)


# -- as people pack them --------------------------------------------------------------------------


def test_a_zip_made_on_windows_reads_like_its_folder(tmp_path):
    folder = make_folder(tmp_path / "d", parts=("train", "test"))
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            info = zipfile.ZipInfo("x")
            info.filename = str(file.relative_to(folder)).replace("/", "\\")
            archive.writestr(info, file.read_bytes())
        archive.writestr("train\\cat\\", b"")  # an entry for a folder
    assert load(tmp_path / "w.zip").fingerprint == load(folder).fingerprint


def test_files_unpacked_elsewhere_from_such_a_zip_read_alike(tmp_path):
    folder = make_folder(tmp_path / "d")
    (tmp_path / "flat").mkdir()
    for file in folder.rglob("*.png"):
        name = str(file.relative_to(folder)).replace("/", "\\")
        (tmp_path / "flat" / name).write_bytes(file.read_bytes())
    data = load(tmp_path / "flat")
    assert data.fingerprint == load(folder).fingerprint and data.item_name(0) == "cat/0.png"


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_packed_by_bzip2_or_lzma_read_like_their_folder(tmp_path, how):
    folder = make_folder(tmp_path / "d")
    assert load(zipped(folder, tmp_path / "d.zip", how)).fingerprint == load(folder).fingerprint
    whole = bytearray((tmp_path / "d.zip").read_bytes())
    whole[150:160] = bytes(10)
    (tmp_path / "d.zip").write_bytes(bytes(whole))
    broken = [p.where for p in load(tmp_path / "d.zip").problems if p.kind == "unreadable picture"]
    assert broken == ["cat/0.png"]


def test_a_zip_that_cannot_be_unpacked_says_why(tmp_path):
    path = zipped(make_folder(tmp_path / "d"), tmp_path / "d.zip")
    whole = path.read_bytes()
    for at, value, why in ((8, 1, "cat/0.png is encrypted"), (10, 9, "packed in a rare way")):
        changed = bytearray(whole)
        place = whole.find(b"PK\1\2")
        while place >= 0:
            changed[place + at] = changed[place + at] | 1 if at == 8 else value
            place = whole.find(b"PK\1\2", place + 4)
        path.write_bytes(bytes(changed))
        with pytest.raises(DataError, match=rf"none of its \d+ files can be read .*{why}"):
            load(path)


@pytest.mark.parametrize("how", ["gz", "bz2", "xz"])
def test_packed_tars_read_like_their_folder_alone_or_in_a_folder(tmp_path, how):
    folder = make_folder(tmp_path / "d")
    path = tmp_path / "alone" / f"d.tar.{how}"
    path.parent.mkdir()
    with tarfile.open(path, f"w:{how}") as archive:
        archive.add(folder, "d")
    assert np.array_equal(load(path).inputs, load(folder).inputs)
    assert np.array_equal(load(path.parent).inputs, load(folder).inputs)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut off|not a sound"):
        load(path)


def test_a_bomb_packed_by_xz_is_refused(tmp_path):
    import lzma

    head = tarfile.TarInfo("cat/x.png")
    head.size = 200 << 20
    (tmp_path / "b.tar.xz").write_bytes(lzma.compress(head.tobuf() + b"\0" * head.size, preset=0))
    with pytest.raises(DataError, match="bomb"):
        load(tmp_path / "b.tar.xz")


def test_one_archive_a_class(tmp_path):
    folder = make_folder(tmp_path / "d")
    packed = tmp_path / "packed"
    packed.mkdir()
    zipped(folder / "cat", packed / "cat.zip")
    with tarfile.open(packed / "dog.tar.gz", "w:gz") as archive:
        archive.add(folder / "dog", "dog")
    (packed / "README.md").write_text("Two classes.\n")
    data = load(packed)
    assert data.classes == ["cat", "dog"] and np.array_equal(data.inputs, load(folder).inputs)


def test_one_archive_a_part(tmp_path):
    folder = make_folder(tmp_path / "d", parts=("train", "test"))
    packed = tmp_path / "packed"
    packed.mkdir()
    for part in ("train", "test"):
        zipped(folder / part, packed / f"{part}.zip", prefix=f"{part}/" if part == "test" else "")
    assert load(packed).fingerprint == load(folder).fingerprint


def test_an_archive_beside_what_was_unpacked_from_it_adds_nothing(tmp_path):
    folder = make_folder(tmp_path / "d")
    zipped(folder, folder / "all.zip")
    assert len(load(folder).labels) == 14


@pytest.mark.parametrize(("begin", "name"), [(b"7z\xbc\xaf'\x1c", "7z"), (b"Rar!\x1a\x07", "RAR")])
def test_archives_of_other_kinds_are_named(tmp_path, begin, name):
    (tmp_path / "pets.bin").write_bytes(begin + bytes(99))
    with pytest.raises(DataError, match=f"is a {name} archive; unpack it"):
        load(tmp_path / "pets.bin")

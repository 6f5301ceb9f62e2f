"""A zip or tar archive as a Tree, read member by member in memory, never extracted to disk.

Zips may be packed by deflate, bzip2 or LZMA and made on Windows, with backslashes in the names;
tars plain or packed by gzip, bzip2 or xz. Where nothing can be read (a password, a rare way of
packing) the reason is the error.

Names that are absolute or climb out with "..", links, devices and encrypted members are left out
and reported. A member is unpacked no further than the size its directory promises; promises that
pack more than 300 to 1, or 8 GiB in all, are refused as bombs before anything is unpacked.
"""

import bz2
import io
import lzma
import mmap
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from depthwise.data.dataset import Problem
from depthwise.data.readers.trees.tree import (
    MAX_BYTES,
    MAX_RATIO,
    gunzip,
    gunzip_head,
    is_gzip,
    is_junk,
    left_out,
    slashed,
)
from depthwise.errors import DataError

__all__ = ["TarTree", "ZipTree", "is_tar"]

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of name and extra field
_HEAD_BYTES = 512
_RATIO_MATTERS_FROM = 64 << 20
_ENCRYPTED = 0x1
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LOCKED = "encrypted, left out; unpack it with its password first"
_RARE = "packed in a rare way, left out; pack it again with deflate"


class ZipTree:
    """The files of a zip, opened when first asked for. Raises DataError if broken or a bomb."""

    def __init__(self, path: Path):
        self.where = str(path)
        self.problems: list[Problem] = []
        self._path = path
        self._members: dict[str, zipfile.ZipInfo] = {}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Name to unpacked size; the directory is read here, which a cached start never needs."""
        path = self._path
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (
            OSError,
            ValueError,
            zipfile.BadZipFile,
            NotImplementedError,
            struct.error,
        ) as error:
            raise DataError(f"{path} is not a sound zip file ({error}); fetch it again.") from None
        self._keep(members)
        self._require_some()
        sizes = {name: member.file_size for name, member in sorted(self._members.items())}
        packed = sum(member.compress_size for member in self._members.values())
        _refuse_bomb(self.where, sum(sizes.values()), min(packed, len(self._bytes)))
        return sizes

    def read(self, name: str) -> bytes:
        member = self._members[name]
        start = self._start(member)
        packed = self._bytes[start : start + member.compress_size]
        if member.compress_type == zipfile.ZIP_STORED:
            data = packed
        elif member.compress_type == zipfile.ZIP_DEFLATED:
            data = self._inflate(member, packed)
        else:
            data = self._unpacked(member, member.file_size + 1)
        if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise DataError(f"{self.where}: {name} is damaged (wrong checksum); fetch it again.")
        return data

    def head(self, name: str) -> bytes:
        member = self._members[name]
        try:
            start = self._start(member)
            packed = self._bytes[start : start + min(member.compress_size, _HEAD_BYTES)]
            if member.compress_type == zipfile.ZIP_STORED:
                return packed
            if member.compress_type != zipfile.ZIP_DEFLATED:
                return self._unpacked(member, _HEAD_BYTES)
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _HEAD_BYTES)
        except (DataError, zlib.error):
            return b""

    def stamp(self) -> str:
        return _file_stamp(self._path)

    def _keep(self, members: list[zipfile.ZipInfo]) -> None:
        files = {m.filename: m for m in members if m.filename and not m.is_dir()}
        self._locked: dict[str, list[str]] = {_LOCKED: [], _RARE: []}
        for name, real in slashed(files).items():
            member = files[real]
            reason = _why_unsafe(real, stat.S_ISLNK(member.external_attr >> 16))
            if reason:
                self.problems.append(Problem("unsafe archive member", real, reason))
            elif member.flag_bits & _ENCRYPTED:
                self._locked[_LOCKED].append(real)
            elif member.compress_type not in _PACKED:
                self._locked[_RARE].append(real)
            elif not _is_litter(name) and not name.endswith("/"):
                self._members[name] = member
        for reason, names in self._locked.items():
            self.problems += left_out("unsafe archive member", names, reason)

    def _require_some(self) -> None:
        """Raises DataError if there are files but none that can be unpacked."""
        for reason, names in self._locked.items():
            if names and not self._members:
                raise DataError(
                    f"{self.where}: none of its {len(names):,} files can be read ({names[0]} is "
                    f"{reason})."
                )

    def _unpacked(self, member: zipfile.ZipInfo, most: int) -> bytes:
        """The first bytes of a member that is packed by bzip2 or LZMA."""
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(member) as file:
                return file.read(most)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, lzma.LZMAError) as error:
            raise DataError(
                f"{self.where}: {member.filename} is damaged ({error}); fetch it again."
            ) from None

    def _start(self, member: zipfile.ZipInfo) -> int:
        """Where the member's bytes begin, past its local header."""
        header = self._bytes[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\3\4":
            raise DataError(f"{self.where}: {member.filename} is not where the zip says it is.")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        return member.header_offset + _LOCAL_HEADER.size + name + extra

    def _inflate(self, member: zipfile.ZipInfo, packed: bytes) -> bytes:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return unpacker.decompress(packed, member.file_size + 1)
        except zlib.error as error:
            raise DataError(
                f"{self.where}: {member.filename} is damaged ({error}); fetch it again."
            ) from None


class TarTree:
    """The regular files of a tar, plain or packed, held in memory once asked for.

    Raises DataError if broken.
    """

    def __init__(self, path: Path):
        self.where = str(path)
        self.problems: list[Problem] = []
        self._path = path
        self._files: dict[str, bytes] = {}

    @cached_property
    def sizes(self) -> dict[str, int]:
        path = self._path
        try:
            data = path.read_bytes()
            data = _unpacked_tar(data, self.where)
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                for member in archive:
                    self._keep(archive, member)
                self._require_end(data[archive.offset :])
        except (OSError, tarfile.TarError, ValueError, EOFError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} is not a sound tar file ({error}); fetch it again.") from None
        self._files = {new: self._files[old] for new, old in slashed(self._files).items()}
        return {name: len(content) for name, content in sorted(self._files.items())}

    def read(self, name: str) -> bytes:
        return self._files[name]

    def head(self, name: str) -> bytes:
        return self._files[name][:_HEAD_BYTES]

    def stamp(self) -> str:
        return _file_stamp(self._path)

    def _require_end(self, rest: bytes) -> None:
        """A tar ends in blocks of zeros; what lacks them has been cut off or written over."""
        if not rest or rest.strip(b"\0"):
            reason = "it ends without its end mark, and files may be missing; fetch it again"
            self.problems.append(Problem("cut archive", self.where, reason))

    def _keep(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        link = not (member.isreg() or member.isdir())
        if reason := _why_unsafe(member.name, link):
            self.problems.append(Problem("unsafe archive member", member.name, reason))
        elif member.isreg() and not member.issparse() and not _is_litter(member.name):
            file = archive.extractfile(member)
            self._files[member.name.removeprefix("./")] = file.read() if file else b""


def _unpacked_tar(data: bytes, where: str, most: int = MAX_BYTES) -> bytes:
    """What is packed by gzip, bzip2 or xz, at most `most` bytes; raises DataError for what is
    broken, and for bombs."""
    if is_gzip(data):
        return gunzip(data, where, most)
    for magic, unpacker, errors in _UNPACKERS:
        if data.startswith(magic):
            most = min(most, max(_RATIO_MATTERS_FROM, len(data) * MAX_RATIO))
            return _all_streams(data, where, most, unpacker, errors)
    return data


def _all_streams(
    data: bytes, where: str, most: int, unpacker: Callable[[], Any], errors: tuple[Any, ...]
) -> bytes:
    """The streams of a packed file, one after another."""
    content = b""
    try:
        while data.strip(b"\0"):
            stream = unpacker()
            content += stream.decompress(data, most + 1 - len(content))
            if len(content) > most:
                raise DataError(f"{where} unpacks to more than {most:,} bytes; it is a bomb.")
            if not stream.eof:
                raise DataError(f"{where} is cut off: its stream has no end; fetch it again.")
            data = stream.unused_data
    except errors as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is not a sound archive ({error}); fetch it again.") from None
    return content


def is_tar(path: Path, head: bytes) -> bool:
    """Whether this is a tar, perhaps packed, going by what its first block unpacks to."""
    if is_gzip(head):
        head = gunzip_head(head, 512)
    for magic, unpacker, errors in _UNPACKERS:
        if head.startswith(magic):
            if ".tar." in path.name.lower():  # though it may be cut off
                return True
            head = _first_block(path, unpacker(), errors)
    return head[257:262] == b"ustar"


def _first_block(path: Path, stream: Any, errors: tuple[Any, ...]) -> bytes:
    """The first bytes that a stream unpacks to; bzip2 gives them after up to 900 kB."""
    content = b""
    try:
        with path.open("rb") as file:
            while len(content) < 512 and not stream.eof and (block := file.read(1 << 16)):
                content += stream.decompress(block, 512)
    except (OSError, *errors):
        return b""
    return content


_UNPACKERS: tuple[tuple[bytes, Callable[[], Any], tuple[Any, ...]], ...] = (
    (b"BZh", bz2.BZ2Decompressor, (OSError, EOFError, ValueError)),
    (b"\xfd7zXZ\0", lzma.LZMADecompressor, (lzma.LZMAError, EOFError)),
)


def _why_unsafe(name: str, link: bool) -> str:
    """Why a member must not be used, or "" if it may."""
    parts = name.replace("\\", "/").split("/")
    if link:
        return "a link or a device, left out"
    if name.startswith(("/", "\\")) or parts[0].endswith(":") or ".." in parts:
        return "its name points outside the archive, left out"
    return "its name holds a zero byte, left out" if "\0" in name else ""


def _is_litter(name: str) -> bool:
    return any(is_junk(part) for part in name.removeprefix("./").split("/") if part)


def _refuse_bomb(where: str, unpacked: int, packed: int) -> None:
    if unpacked > MAX_BYTES:
        raise DataError(
            f"{where} would unpack to {unpacked:,} bytes; unpack archives of more than "
            f"{MAX_BYTES >> 30} GiB into a folder first."
        )
    if unpacked > (64 << 20) and unpacked > MAX_RATIO * max(packed, 1):
        raise DataError(
            f"{where} would unpack to {unpacked:,} bytes from {packed:,}; it looks like a bomb."
        )


def _file_stamp(path: Path) -> str:
    try:
        info = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from None
    return f"{info.st_size}|{info.st_mtime_ns}"

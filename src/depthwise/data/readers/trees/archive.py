"""A zip or tar archive as a Tree, read member by member in memory, never extracted to disk.

Names that are absolute or climb out with "..", links, devices and encrypted members are left out
and reported. A member is unpacked no further than the size its directory promises; promises that
pack more than 300 to 1, or 8 GiB in all, are refused as bombs before anything is unpacked.
"""

import io
import mmap
import stat
import struct
import tarfile
import zipfile
import zlib
from functools import cached_property
from pathlib import Path

from depthwise.data.dataset import Problem
from depthwise.data.readers.trees.tree import MAX_BYTES, MAX_RATIO, gunzip, is_gzip, is_junk
from depthwise.errors import DataError

__all__ = ["TarTree", "ZipTree"]

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of name and extra field
_HEAD_BYTES = 512
_ENCRYPTED = 0x1


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
        sizes = {name: member.file_size for name, member in sorted(self._members.items())}
        packed = sum(member.compress_size for member in self._members.values())
        _refuse_bomb(self.where, sum(sizes.values()), min(packed, len(self._bytes)))
        return sizes

    def read(self, name: str) -> bytes:
        member = self._members[name]
        start = self._start(member)
        packed = self._bytes[start : start + member.compress_size]
        data = (
            packed if member.compress_type == zipfile.ZIP_STORED else self._inflate(member, packed)
        )
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
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _HEAD_BYTES)
        except (DataError, zlib.error):
            return b""

    def stamp(self) -> str:
        return _file_stamp(self._path)

    def _keep(self, members: list[zipfile.ZipInfo]) -> None:
        for member in members:
            reason = _why_unsafe(member.filename, stat.S_ISLNK(member.external_attr >> 16))
            if member.flag_bits & _ENCRYPTED:
                reason = "encrypted, left out; unpack it with its password first"
            elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                reason = "packed in a rare way, left out; pack it again with deflate"
            elif not member.filename:
                reason = "has no name, left out"
            if reason:
                self.problems.append(Problem("unsafe archive member", member.filename, reason))
            elif not member.is_dir() and not _is_litter(member.filename):
                self._members[member.filename] = member

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
    """The regular files of a tar, plain or gzipped, held in memory once asked for.

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
            data = gunzip(data, self.where) if is_gzip(data) else data
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                for member in archive:
                    self._keep(archive, member)
        except (OSError, tarfile.TarError, ValueError, EOFError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} is not a sound tar file ({error}); fetch it again.") from None
        return {name: len(content) for name, content in sorted(self._files.items())}

    def read(self, name: str) -> bytes:
        return self._files[name]

    def head(self, name: str) -> bytes:
        return self._files[name][:_HEAD_BYTES]

    def stamp(self) -> str:
        return _file_stamp(self._path)

    def _keep(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        link = not (member.isreg() or member.isdir())
        if reason := _why_unsafe(member.name, link):
            self.problems.append(Problem("unsafe archive member", member.name, reason))
        elif member.isreg() and not member.issparse() and not _is_litter(member.name):
            file = archive.extractfile(member)
            self._files[member.name.removeprefix("./")] = file.read() if file else b""


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

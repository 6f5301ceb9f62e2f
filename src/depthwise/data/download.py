"""One file from the network: resumed, checked, put in place in one step.

Bytes go to `<file>.part`; a transfer that breaks off is taken up where it stopped (HTTP Range, RFC
9110 section 14), now or at the next call. Only a file of the right size and MD5 gets its name.
MD5 is what the authors of these data sets publish; it guards against damage.
"""

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from depthwise.errors import DataError

__all__ = ["Remote", "download"]

_CHUNK_BYTES = 1 << 18
_LOG = logging.getLogger("depthwise")


@dataclass(frozen=True)
class Remote:
    """A file on the network: its address, its size in bytes, its MD5 in hex."""

    url: str
    size: int
    md5: str


def download(
    remote: Remote, path: Path, *, attempts: int = 4, timeout_s: float = 30, pause_s: float = 1
) -> Path:
    """Fetches `remote` to `path` unless a file is there already.

    Raises DataError when the network fails `attempts` times (what came is kept for the next
    call), when the disk does, or when the content is not the published one (it is removed).
    """
    if path.exists():
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch(remote, part, attempts, timeout_s, pause_s)
        _verify(remote, part)
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error}).") from None
    return path


def _fetch(remote: Remote, part: Path, attempts: int, timeout_s: float, pause_s: float) -> None:
    """Appends to the .part file until it has the full size."""
    _LOG.info("downloading %s (%.1f MB)", remote.url, remote.size / 1e6)
    failures, reason = 0, ""
    while (have := _size(part)) < remote.size:
        if failures == attempts:
            raise DataError(
                f"{remote.url} could not be downloaded ({reason}; {have:,} of {remote.size:,} "
                f"bytes kept in {part}); try again, or put the data set below $DEPTHWISE_DATA."
            )
        try:
            _append(remote, part, have, timeout_s)
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            ConnectionError,
            TimeoutError,
        ) as e:
            reason = _reason(e)
        if _size(part) <= have:
            failures += 1
            time.sleep(pause_s if failures < attempts else 0)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else ""
    return str(reason or error) or type(error).__name__


def _append(remote: Remote, part: Path, have: int, timeout_s: float) -> None:
    """One request for what is missing; a server that ignores Range starts the file anew."""
    request = urllib.request.Request(remote.url, headers={"User-Agent": "depthwise"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        resumed = response.status == 206 and have > 0
        left = remote.size - (have if resumed else 0)
        with part.open("ab" if resumed else "wb") as file:
            while left >= 0 and (chunk := response.read(_CHUNK_BYTES)):
                file.write(chunk[: left + 1])  # one byte too many is enough to be found wrong
                left -= len(chunk)


def _verify(remote: Remote, part: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    size = _size(part)
    if size == remote.size and digest.hexdigest() == remote.md5:
        return
    part.unlink()
    raise DataError(
        f"{remote.url} did not send the published file ({size:,} bytes, MD5 {digest.hexdigest()}; "
        f"expected {remote.size:,} bytes, MD5 {remote.md5}); it was removed, try again later."
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

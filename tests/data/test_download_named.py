"""Downloads, against a server on this machine that behaves and misbehaves; and named sets."""

import hashlib
import http.server
import pathlib
import threading

import numpy as np
import pytest
from made_pictures import noise_u8
from test_idx_reader import write_pair

from depthwise.data import named
from depthwise.data.download import Remote, download
from depthwise.data.load import load
from depthwise.errors import DataError

CONTENT = noise_u8(300_000).tobytes()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT. /whole ignores Range; /breaks ends every answer after 100,000 bytes;
    /wrong sends other bytes; /long sends too many; /dead sends nothing."""

    def do_GET(self):
        self.server.requests.append(self.headers.get("Range"))
        content = {"/wrong": CONTENT[::-1], "/long": CONTENT + b"more"}.get(self.path, CONTENT)
        if self.path == "/missing":
            return self.send_error(404)
        start = 0
        if self.path != "/whole" and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = {"/breaks": start + 100_000, "/dead": start}.get(self.path, len(content))
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(address):
    address.requests.clear()
    return address


def remote(server, path):
    return Remote(f"http://127.0.0.1:{server.server_port}{path}", len(CONTENT), MD5)


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path):
    for _ in range(2):
        path = download(remote(server, "/file"), tmp_path / "deep" / "file", pause_s=0)
    assert path.read_bytes() == CONTENT and len(server.requests) == 1
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_transfer_that_breaks_off_is_taken_up_where_it_stopped(server, tmp_path):
    path = download(remote(server, "/breaks"), tmp_path / "file", pause_s=0)
    assert path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]


def test_a_part_file_of_an_earlier_start_is_resumed(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    download(remote(server, "/file"), tmp_path / "file", pause_s=0)
    assert server.requests == ["bytes=123456-"]


def test_a_server_that_ignores_range_starts_anew(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    path = download(remote(server, "/whole"), tmp_path / "file", pause_s=0)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["/wrong", "/long"])
def test_other_bytes_than_published_are_removed_and_told(server, tmp_path, path):
    with pytest.raises(DataError, match="did not send the published file"):
        download(remote(server, path), tmp_path / "file", pause_s=0)
    assert list(tmp_path.iterdir()) == []


def test_a_garbled_part_file_is_removed_too(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * len(CONTENT))
    with pytest.raises(DataError, match="it was removed"):
        download(remote(server, "/file"), tmp_path / "file", pause_s=0)
    assert download(remote(server, "/file"), tmp_path / "file", pause_s=0).exists()


@pytest.mark.parametrize(("path", "reason"), [("/missing", "404"), ("/dead", "")])
def test_a_server_that_gives_nothing_is_given_up(server, tmp_path, path, reason):
    with pytest.raises(DataError, match=f"could not be downloaded .*{reason}"):
        download(remote(server, path), tmp_path / "file", attempts=2, pause_s=0)
    assert len(server.requests) == 2 and not (tmp_path / "file").exists()


def test_no_server_at_all_says_where_to_put_the_data(tmp_path):
    nowhere = Remote("http://127.0.0.1:9/file", 5, "")
    with pytest.raises(DataError, match="DEPTHWISE_DATA"):
        download(nowhere, tmp_path / "file", attempts=1, pause_s=0)


def test_a_place_that_cannot_be_written_says_so(server, tmp_path):
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        download(remote(server, "/file"), tmp_path / "blocked" / "file", pause_s=0)


def test_digits_are_scikit_learns_at_255_levels():
    from sklearn.datasets import load_digits

    data, theirs = load("digits"), load_digits()
    assert data.input_shape == (1, 8, 8) and np.array_equal(data.labels, theirs.target)
    assert np.abs(data.inputs[:, 0] / 255 - theirs.images / 16).max() < 0.003


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
def test_a_named_set_is_found_below_depthwise_data(tmp_path, monkeypatch, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for stem, seed in (("train", 1), ("t10k", 2)):
        write_pair(
            tmp_path / folder, noise_u8(30, 28, 28, seed=seed), np.arange(30, dtype=np.uint8) % 10,
            stem, ".gz",
        )  # fmt: skip
    monkeypatch.setenv("DEPTHWISE_DATA", str(tmp_path))
    data = load("mnist")
    assert data.name == "mnist" and len(data.labels) == 60


def test_fashion_mnist_has_the_names_of_its_garments(tmp_path, monkeypatch):
    (tmp_path / "fashion-mnist").mkdir()
    for stem in ("train", "t10k"):
        labels = np.arange(40, dtype=np.uint8) % 10
        write_pair(tmp_path / "fashion-mnist", noise_u8(40, 28, 28), labels, stem, "")
    monkeypatch.setenv("DEPTHWISE_DATA", str(tmp_path))
    for _ in range(2):  # read, then from the cache
        assert load("fashion-mnist").classes[9] == "Ankle boot"


def test_a_named_set_that_is_nowhere_is_downloaded_into_the_cache(
    server, tmp_path, monkeypatch, private_cache
):
    for stem, seed in (("train", 1), ("t10k", 2)):
        labels = np.arange(30, dtype=np.uint8) % 10
        write_pair(tmp_path, noise_u8(30, 28, 28, seed=seed), labels, stem, ".gz")
    asked = []

    def fetch(file, path):
        asked.append(file.url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((tmp_path / path.name).read_bytes())

    monkeypatch.setattr(named, "download", fetch)
    assert len(load("mnist").labels) == len(load("mnist").labels) == 60
    assert len(asked) == 4 and asked[0].endswith("/mnist/train-images-idx3-ubyte.gz")
    assert (private_cache / "named" / "mnist").is_dir()


def test_published_sizes_are_those_of_the_distributions_files():
    folder = pathlib.Path(named.NAMED["fashion-mnist"].installed[0])
    if not folder.exists():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    for file in named.NAMED["fashion-mnist"].remotes:
        path = folder / file.url.rpartition("/")[2]
        stored_name = len(path.stem) + 1  # Debian packs the same stream without it, RFC 1952
        assert path.stat().st_size + stored_name == file.size

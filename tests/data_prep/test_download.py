"""Downloads, from a server of the test's own."""

import hashlib
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_prep import download
from data_prep.download import Download
from lra.errors import UserError
from tests import originals


class Server(ThreadingHTTPServer):
    """A server. content: the bytes that it sends. ranges: whether it honours them. cut: the place
    where it breaks off."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.cut, self.starts, self.status = content, True, None, [], 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.content
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if server.ranges else 0
        server.starts.append(start)
        if server.status:
            return self.send_error(server.status)
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if server.ranges else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    content = originals.write_tar(tmp_path / "made", {"x": os.urandom(3 * 2**20)}).read_bytes()
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def original(server, sha256=None):
    return Download(f"http://127.0.0.1:{server.server_port}/f", "f.tar.gz", sha256)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_fetches_checks_and_does_not_fetch_again(server, tmp_path):
    wanted = original(server, sha256(server.content))
    path = download.fetch(wanted, tmp_path)
    assert path.read_bytes() == server.content
    assert path.name == "f.tar.gz"
    assert download.fetch(wanted, tmp_path) == path
    assert len(server.starts) == 1
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("ranges", [True, False])
def test_goes_on_where_it_broke_off(server, tmp_path, ranges):
    server.ranges, server.cut = ranges, 2 * 2**20
    wanted = original(server, sha256(server.content))
    with pytest.raises(UserError, match="broke off after 2,097,152 of .*type the command again"):
        download.fetch(wanted, tmp_path)
    assert not (tmp_path / "f.tar.gz").exists()
    server.cut = None
    assert download.fetch(wanted, tmp_path).read_bytes() == server.content
    assert server.starts == [0, 2 * 2**20 if ranges else 0]


def test_a_download_that_is_complete_already_is_used(server, tmp_path):
    (tmp_path / "f.tar.gz.part").write_bytes(server.content)  # stopped before it got its name
    path = download.fetch(original(server, sha256(server.content)), tmp_path)
    assert path.read_bytes() == server.content


def test_a_page_instead_of_an_archive_is_said_and_not_kept(server, tmp_path):
    server.content = b"<!DOCTYPE html><html>Please log in</html>"
    with pytest.raises(
        UserError, match="gave an HTML page, not an archive.*f.tar.gz.*data.archive"
    ):
        download.fetch(original(server), tmp_path)
    assert not list(tmp_path.glob("f.tar.gz*"))


def test_a_wrong_sum_is_said_and_not_kept(server, tmp_path):
    with pytest.raises(UserError, match="sha256 .* not 0123.*deleted"):
        download.fetch(original(server, "0123" * 16), tmp_path)
    assert not list(tmp_path.glob("f.tar.gz*"))


def test_an_unknown_sum_is_recorded_and_asked_of_later_downloads(server, tmp_path):
    path = download.fetch(original(server), tmp_path)
    assert sha256(server.content) in (tmp_path / "sha256.json").read_text()
    path.unlink()
    assert download.fetch(original(server), tmp_path) == path
    path.unlink()
    server.content = originals.write_tar(tmp_path / "other", {"x": b"other"}).read_bytes()
    with pytest.raises(UserError, match="sha256"):
        download.fetch(original(server), tmp_path)


def test_offline_names_the_file_to_bring(server, tmp_path):
    server.status = 403
    with pytest.raises(
        UserError, match="403 Forbidden.*bring the file f.tar.gz.*data.archive=PATH"
    ):
        download.fetch(original(server), tmp_path)
    nowhere = Download("http://127.0.0.1:1/f", "f.tar.gz", None)
    with pytest.raises(UserError, match="refused.*bring the file f.tar.gz"):
        download.fetch(nowhere, tmp_path)


def test_two_at_once_fetch_it_once(server, tmp_path):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(download.fetch(original(server), tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "f.tar.gz"] * 4
    assert server.starts == [0]


def test_a_full_disk_is_said(server, tmp_path):
    (tmp_path / "f.tar.gz.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match="Cannot write .*f.tar.gz.part: No space left on device"):
        download.fetch(original(server), tmp_path)


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", None], ids=["closed", "garbage", "mute"]
)
def test_a_server_that_does_not_speak_http_is_said(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                if answer is None:
                    time.sleep(0.5)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match="Cannot download"):
            download.fetch(Download(f"http://127.0.0.1:{port}/f", "f.tar.gz", None), tmp_path)
        thread.join()

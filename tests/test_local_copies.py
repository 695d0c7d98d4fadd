"""Copies of remote files: bounded, shared, resumed, never stale."""

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest

from xvcomp import local_copies
from xvcomp.containers import source as sources
from xvcomp.errors import PlanError
from xvcomp.local_copies import default_cache_dir, local_copy


@pytest.fixture
def remote():
    """Return a function that puts a file on a filesystem in memory and gives its URL."""
    fs = fsspec.filesystem("memory")

    def put(name: str, data: bytes) -> str:
        fs.pipe_file(f"/copies/{name}", data)
        return f"memory://copies/{name}"

    yield put
    fs.rm("/copies", recursive=True)


def _copied(cache) -> set[str]:
    return {p.name for p in cache.glob("*/*") if p.name != "nbytes" and p.parent.name != "locks"}


def test_a_copy_has_the_name_and_the_bytes(remote, tmp_path):
    with local_copy(remote("a.nc", b"x" * 1000), tmp_path, 2000) as path:
        assert (path.name, path.read_bytes()) == ("a.nc", b"x" * 1000)


def test_a_local_path_is_given_back_as_it_is(tmp_path):
    with local_copy(tmp_path / "a.nc", tmp_path / "cache") as path:
        assert path == tmp_path / "a.nc"
    assert not (tmp_path / "cache").exists()


def test_the_least_recently_used_copy_makes_room(remote, tmp_path):
    a, b, c = (remote(name, name[:1].encode() * 400) for name in ("a.nc", "b.nc", "c.nc"))
    for number, url in enumerate((a, b, a)):
        with local_copy(url, tmp_path, 1000) as path:
            stamp = path.parent / "nbytes"
        local_copies.os.utime(stamp, (number, number))
    with local_copy(c, tmp_path, 1000):
        pass
    assert _copied(tmp_path) == {"a.nc", "c.nc"}


def test_a_copy_in_use_is_not_removed(remote, tmp_path):
    a, b = remote("a.nc", b"a" * 600), remote("b.nc", b"b" * 600)
    with local_copy(a, tmp_path, 1000) as path:
        with pytest.raises(OSError, match="no room for 600 bytes"):  # noqa: SIM117
            with local_copy(b, tmp_path, 1000, patience_seconds=0.2):
                pass
        assert path.exists()
    with local_copy(b, tmp_path, 1000) as path:
        assert path.read_bytes() == b"b" * 600
    assert _copied(tmp_path) == {"b.nc"}


def test_room_that_others_give_back_is_waited_for(remote, tmp_path):
    a, b = remote("a.nc", b"a" * 600), remote("b.nc", b"b" * 600)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with local_copy(a, tmp_path, 1000):
            held.set()
            done.wait(0.4)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with local_copy(b, tmp_path, 1000) as path:
        assert path.read_bytes() == b"b" * 600
    holder.join()


def test_a_file_larger_than_the_cache_is_refused(remote, tmp_path):
    with pytest.raises(PlanError, match="has 600 bytes, the cache may hold 500"):  # noqa: SIM117
        with local_copy(remote("a.nc", b"a" * 600), tmp_path, 500):
            pass


def test_a_changed_file_is_fetched_anew(remote, tmp_path):
    for data in (b"old!", b"new!"):
        with local_copy(remote("a.nc", data), tmp_path) as path:
            assert path.read_bytes() == data


def test_threads_share_one_download(remote, tmp_path, monkeypatch):
    url, fetched = remote("a.nc", b"a" * 600), []
    fetch = local_copies._fetch
    monkeypatch.setattr(local_copies, "_fetch", lambda *a: (fetched.append(a), fetch(*a)))

    def use() -> None:
        with local_copy(url, tmp_path) as path:
            assert path.stat().st_size == 600

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(fetched) == 1


class _Dropping(BaseHTTPRequestHandler):
    """Serves ranges of one file; drops the connection once, beyond a limit."""

    data = bytes(range(256)) * 64
    drop_after: int | None = None
    starts: list[int]
    reached: threading.Event | None = None

    def _answer(self, body: bool) -> None:
        wanted = self.headers.get("Range")
        first, last = 0, len(self.data) - 1
        if wanted:
            first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
            last = min(last, len(self.data) - 1)
        if body and self.drop_after is not None and last >= self.drop_after:
            self.close_connection = True
            if self.reached is not None:
                self.reached.set()
                time.sleep(1)
            return
        if body:
            self.starts.append(first)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"v1"')
        self.end_headers()
        if body:
            self.wfile.write(self.data[first : last + 1])

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server():
    """A server whose handler drops connections after 5000 bytes, and its URL."""
    handler = type("Handler", (_Dropping,), {"drop_after": 5000, "starts": []})
    made = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{made.server_port}/a.nc"
    made.shutdown()
    made.server_close()


def test_a_download_goes_on_where_it_was_cut_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_WAITS", (0.0,))
    monkeypatch.setattr(local_copies, "_CHUNK", 1000)
    handler, url = server
    with pytest.raises(OSError), local_copy(url, tmp_path):  # noqa: PT011
        pass
    assert [p.stat().st_size for p in tmp_path.glob("*/*.part")] == [5000]
    handler.drop_after, handler.starts = None, []
    with local_copy(url, tmp_path) as path:
        assert path.read_bytes() == handler.data
    assert min(handler.starts) == 5000


def test_a_killed_process_leaves_no_lock_and_no_half_file(server, tmp_path):
    handler, url = server
    handler.reached = threading.Event()
    code = (
        "import sys; from xvcomp import local_copies\n"
        "local_copies._CHUNK = 1000\n"
        "with local_copies.local_copy(*sys.argv[1:]): pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path)])
    assert handler.reached.wait(30)
    process.kill()
    process.wait()
    assert _copied(tmp_path) == {"a.nc.part"}
    handler.drop_after = None
    with local_copy(url, tmp_path) as path:
        assert path.read_bytes() == handler.data


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "xvcomp"
    monkeypatch.setenv("XVCOMP_CACHE", str(tmp_path / "own"))
    assert default_cache_dir() == tmp_path / "own"

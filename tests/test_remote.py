"""Cubes behind URLs: few requests, few bytes, and clear errors when servers fail."""

import contextlib
import re
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest
import xarray as xr
from fsspec.implementations.memory import MemoryFileSystem

import xvcomp
import xvcomp.parts
from xvcomp.containers import source
from xvcomp.reading import CubeFile

HEAD_NBYTES = 65536


class Server(ThreadingHTTPServer):
    """Serves files from memory, by range; counts, and fails on request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.drops, self.ignores_ranges = 0, False

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    @property
    def nbytes(self):
        return sum(nbytes for _, nbytes in self.requests)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        server, data = self.server, self.server.files.get(self.path.lstrip("/"))
        if data is None:
            server.requests.append((self.command, 0))
            self.send_error(404)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        ranged = found is not None and not server.ignores_ranges
        first, last = (int(n) for n in found.groups()) if ranged else (0, len(data) - 1)
        part = data[first : last + 1]
        server.requests.append((self.command, len(part) if body else 0))
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if ranged:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if body and server.drops:
            server.drops -= 1
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(part)


@pytest.fixture
def server():
    pytest.importorskip("aiohttp")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    # fsspec keeps filesystems, and with them connections, for the next test.
    fsspec.filesystem("http").clear_instance_cache()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Six noisy GOPs of 400 KB and more, so that most of the file is not in its head."""
    rng = np.random.default_rng(5)
    data = rng.normal(280, 5, (24, 2, 160, 200)).astype(np.float32)
    data[:, :, :20, :20] = np.nan
    cube = xr.Dataset({"t": (("time", "level", "y", "x"), data)}, {"time": np.arange(24)})
    target = tmp_path_factory.mktemp("remote") / "cube.mp4"
    xvcomp.encode(cube, target, target=xvcomp.Quality(45), preset="fast", gop=4)
    assert target.stat().st_size > 10 * HEAD_NBYTES
    return target


@pytest.fixture(scope="module")
def eager(path):
    return xvcomp.open(path).load()


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Do not wait between attempts."""
    monkeypatch.setattr(source, "_WAITS", (0.0, 0.01))


def gop_nbytes(path, gop):
    cube = CubeFile(path)
    parts = cube._parts[cube.manifest.groups[0].name]
    return len(b"".join(parts.fetch([xvcomp.parts.Part(gop, 0)])[0]))


def test_opening_takes_two_requests_and_64_kib(server, path):
    server.files["cube.mp4"] = path.read_bytes()
    xr.open_dataset(server.url("cube.mp4"), engine="xvcomp")
    assert len(server.requests) == 2
    assert server.nbytes <= HEAD_NBYTES


def test_one_time_step_takes_one_request_and_the_bytes_of_its_gop(server, path, eager):
    server.files["cube.mp4"] = path.read_bytes()
    cube = xvcomp.open(server.url("cube.mp4"))
    server.requests.clear()
    step = cube.isel(time=13).load()
    assert len(server.requests) == 1
    assert server.nbytes == gop_nbytes(path, 3)
    xr.testing.assert_identical(step, eager.isel(time=13))


def test_a_run_of_gops_takes_one_request(server, path, eager):
    server.files["cube.mp4"] = path.read_bytes()
    cube = xvcomp.open(server.url("cube.mp4"))
    server.requests.clear()
    run = cube.isel(time=slice(8, 20)).load()
    assert len(server.requests) == 1
    xr.testing.assert_identical(run, eager.isel(time=slice(8, 20)))


def test_a_connection_that_drops_is_tried_again(server, path, eager):
    server.files["cube.mp4"] = path.read_bytes()
    cube = xvcomp.open(server.url("cube.mp4"))
    server.drops = 2
    xr.testing.assert_identical(cube.isel(time=5).load(), eager.isel(time=5))
    assert server.drops == 0


def test_a_connection_that_keeps_dropping_is_an_error(server, path):
    server.files["cube.mp4"] = path.read_bytes()
    cube = xvcomp.open(server.url("cube.mp4"))
    server.drops = 1000
    with pytest.raises(OSError, match=r"cube\.mp4|payload|disconnected"):
        cube.isel(time=5).load()


def test_a_server_without_ranges_gives_the_right_values(server, path, eager):
    server.files["cube.mp4"] = path.read_bytes()
    server.ignores_ranges = True
    cube = xvcomp.open(server.url("cube.mp4"))
    xr.testing.assert_identical(cube.isel(time=5).load(), eager.isel(time=5))


def test_a_file_that_shrinks_behind_the_url_is_an_error(server, path):
    server.files["cube.mp4"] = path.read_bytes()
    cube = xvcomp.open(server.url("cube.mp4"))
    server.files["cube.mp4"] = path.read_bytes()[: 2 * HEAD_NBYTES]
    with pytest.raises(OSError, match=r"cube\.mp4|416|cut short"):
        cube.isel(time=23).load()


def test_a_file_that_is_not_there_is_not_found_at_once(server):
    with pytest.raises(FileNotFoundError):
        xvcomp.open(server.url("missing.mp4"))
    assert len(server.requests) <= 2


def test_memory_and_zip_urls_open(path, eager, tmp_path):
    fsspec.filesystem("memory").pipe("/cubes/cube.mp4", path.read_bytes())
    with zipfile.ZipFile(tmp_path / "cubes.zip", "w") as archive:
        archive.write(path, "inner/cube.mp4")
    for url in ("memory://cubes/cube.mp4", f"zip://inner/cube.mp4::file://{tmp_path}/cubes.zip"):
        xr.testing.assert_identical(xvcomp.open(url).load(), eager)


class FakeHub(MemoryFileSystem):
    """Stands in for the hub's filesystem: the same protocol and the same kind of paths."""

    protocol = ("hf", "fakehub")
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    tokens = []  # noqa: RUF012

    def __init__(self, token=None, **options):
        super().__init__(**options)
        self.tokens.append(token)

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("hf:/"))


def test_hub_urls_and_options_reach_the_hubs_filesystem(path, eager, monkeypatch):
    # The public mapping of protocols is read-only.
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", FakeHub)
    hub = FakeHub(token="seen")
    hub.pipe("/datasets/owner/name/cube.mp4", path.read_bytes())
    url = "hf://datasets/owner/name/cube.mp4"
    opened = xvcomp.open(url, storage_options={"token": "secret"})
    xr.testing.assert_identical(opened.isel(time=0).load(), eager.isel(time=0))
    assert "secret" in FakeHub.tokens


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://bucket/cube.mp4", "cloud"), ("hf://datasets/a/b/c.mp4", "hub")]
)
def test_a_missing_package_comes_with_what_to_install(monkeypatch, url, extra):
    def refuse(*_args, **_options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(xvcomp.ContainerError, match=rf"pip install 'xvcomp\[{extra}\]'"):
        xvcomp.open(url)


@contextlib.contextmanager
def bucket(monkeypatch):
    """Run S3 on this machine; yield fsspec's options for it, and the server's own log."""
    server_of = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    made = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    _, port = made.get_host_and_port()
    try:
        yield {"client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}"}}
    finally:
        made.stop()


def test_s3_reads_by_range(path, eager, monkeypatch):
    with bucket(monkeypatch) as options:
        s3 = fsspec.filesystem("s3", skip_instance_cache=True, **options)
        s3.mkdir("cubes")
        s3.pipe("cubes/cube.mp4", path.read_bytes())
        calls = []
        call = type(s3)._call_s3

        async def counting(self, method, *args, **kwargs):
            calls.append((method, kwargs.get("Range", "")))
            return await call(self, method, *args, **kwargs)

        monkeypatch.setattr(type(s3), "_call_s3", counting)
        cube = xvcomp.open("s3://cubes/cube.mp4", storage_options=options)
        assert len(calls) <= 2
        calls.clear()
        step = cube.isel(time=13).load()
        assert [method for method, _ in calls] == ["get_object"]
        first, last = (int(n) for n in re.findall(r"\d+", calls[0][1]))
        assert last - first + 1 == gop_nbytes(path, 3)
        xr.testing.assert_identical(step, eager.isel(time=13))

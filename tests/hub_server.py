"""A hub on 127.0.0.1 that speaks what huggingface_hub asks of the real one, and can fail."""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_made_up_for_tests"


@dataclass
class Repo:
    private: bool = False
    branches: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=lambda: {"main": {}})
    commits: int = 0


@dataclass
class Fault:
    """Answer the next ``times`` requests that match with a status, or drop the connection."""

    method: str
    pattern: str
    status: int | None = None
    times: int = 1
    after: int = 0
    """Bytes of the request's body to read before the connection is dropped."""
    then: bool = False
    """Do what was asked, and only then drop the connection: the answer is lost."""


class Hub(ThreadingHTTPServer):
    """Repositories in memory; ``log`` holds (method, path, bytes of the body)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str, int]] = []
        self.sent: list[tuple[str, int]] = []
        self.on_upload: Callable[[], None] | None = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: str) -> dict[str, str]:
        return {
            "HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HOME": home,
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip

    def uploads(self) -> list[str]:
        return [path for method, path, _ in self.log if method == "PUT"]

    def handle_error(self, *_: object) -> None:
        """Clients that were killed are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_HEAD = do_GET

    def _answer(self) -> None:
        self.url = urlsplit(self.path)
        fault = self._fault()
        if fault and fault.status is None and not fault.then:
            self.rfile.read(fault.after)
            self._drop()
            return
        self.body = self._body()
        self.server.log.append((self.command, self.url.path, len(self.body)))
        if fault and fault.status is not None:
            self._send(fault.status, {"error": "on purpose"}, {"Retry-After": "0"})
            return
        if self.url.path.startswith("/api/") and self.command != "GET" and not self._known():
            self._send(401, {"error": "who are you?"})
            return
        if fault:
            self._lost = True
        for pattern, do in _ROUTES:
            found = re.fullmatch(pattern, unquote(self.url.path))
            if found:
                do(self, *found.groups())
                return
        self._send(404, {"error": f"no route for {self.command} {self.url.path}"})

    _lost = False

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _fault(self) -> Fault | None:
        for fault in self.server.faults:
            wanted = fault.method == self.command and re.search(fault.pattern, self.url.path)
            if wanted and fault.times:
                fault.times -= 1
                return fault
        return None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while length := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _send(self, status: int, content: object = None, headers: dict | None = None) -> None:
        if self._lost:
            self._drop()
            return
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        message = content.get("error") if isinstance(content, dict) else None
        extra = {"X-Error-Message": message} if message else {}
        lengths = {} if "Content-Length" in (headers or {}) else {"Content-Length": str(len(data))}
        for key, value in {**lengths, **extra, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.server.sent.append((self.url.path, len(data)))
            self.wfile.write(data)

    def _files(self, repo: str, revision: str) -> dict[str, tuple[str, bytes]] | None:
        """Return the files of a branch, or answer that there is none."""
        found = self.server.repos.get(repo)
        if found is None or (found.private and not self._known()):
            self._send(404, {"error": "none"}, {"X-Error-Code": "RepoNotFound"})
            return None
        if revision not in found.branches:
            self._send(404, {"error": "none"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return found.branches[revision]

    # What the real one answers.

    def whoami(self) -> None:
        self._send(200 if self._known() else 401, {"name": "org", "type": "user", "orgs": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'org'}/{asked['name']}"
        status = 409 if name in self.server.repos else 200
        self.server.repos.setdefault(name, Repo(private=_is_private(asked)))
        self._send(status, {"url": f"{self.server.url}/datasets/{name}", "id": name})

    def branch(self, repo: str, name: str) -> None:
        branches = self.server.repos[repo].branches
        status = 409 if name in branches else 200
        branches.setdefault(name, dict(branches["main"]))
        self._send(status, {})

    def yaml(self) -> None:
        self._send(200, {"errors": [], "warnings": []})

    def info(self, repo: str, revision: str = "main") -> None:
        if self._files(repo, revision or "main") is not None:
            sha = hashlib.sha1(f"{repo}{self.server.repos[repo].commits}".encode()).hexdigest()
            self._send(200, {"id": repo, "sha": sha, "siblings": [], "tags": [], "private": False})

    def preupload(self, repo: str, revision: str) -> None:
        files = self._files(repo, revision)
        if files is None:
            return
        asked = json.loads(self.body)["files"]
        self._send(200, {"files": [
            {
                "path": each["path"],
                "uploadMode": "regular" if each["path"].endswith((".md", "SUMS")) else "lfs",
                "shouldIgnore": False,
                **({"oid": files[each["path"]][0].removeprefix("sha256:")}
                   if each["path"] in files else {}),
            }
            for each in asked
        ]})  # fmt: skip

    def batch(self, _repo: str) -> None:
        objects = json.loads(self.body)["objects"]
        self._send(200, {"transfer": "basic", "objects": [
            each if each["oid"] in self.server.objects else {
                **each,
                "actions": {
                    "upload": {"href": f"{self.server.url}/store/{each['oid']}"},
                    "verify": {"href": f"{self.server.url}/verify"},
                },
            }
            for each in objects
        ]})  # fmt: skip

    def store(self, oid: str) -> None:
        if self.server.on_upload is not None:
            self.server.on_upload()
        if hashlib.sha256(self.body).hexdigest() != oid:
            self._send(400, {"error": "not the content that was announced"})
            return
        self.server.objects[oid] = self.body
        self._send(200, {})

    def verify(self) -> None:
        asked = json.loads(self.body)
        there = len(self.server.objects.get(asked["oid"], b"")) == asked["size"]
        self._send(200 if there else 404, {})

    def commit(self, repo: str, revision: str) -> None:
        files = self._files(repo, revision)
        if files is None:
            return
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "lfsFile":
                data = self.server.objects[value["oid"]]
                files[value["path"]] = (f"sha256:{value['oid']}", data)
            elif operation["key"] == "file":
                data = base64.b64decode(value["content"])
                files[value["path"]] = (_git_sha(data), data)
        self.server.repos[repo].commits += 1
        url = f"{self.server.url}/datasets/{repo}/commit/{'0' * 40}"
        self._send(200, {"commitUrl": url, "commitOid": "0" * 40})

    def tree(self, repo: str, revision: str, path: str) -> None:
        files = self._files(repo, revision)
        if files is None:
            return
        prefix = f"{path}/" if path else ""
        inside = {name: entry for name, entry in files.items() if name.startswith(prefix)}
        found = [_entry(name, *entry) for name, entry in inside.items()]
        folders = {name[: m.start()] for name in inside for m in re.finditer("/", name)}
        found += [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in folders]
        if parse_qs(self.url.query).get("recursive", ["false"])[0].lower() != "true":
            found = [each for each in found if "/" not in each["path"][len(prefix) :]]
        self._send(200, sorted(found, key=lambda each: each["path"]))

    def paths_info(self, repo: str, revision: str) -> None:
        files = self._files(repo, revision)
        if files is None:
            return
        try:
            asked = json.loads(self.body)["paths"]
        except ValueError:
            asked = parse_qs(self.body.decode())["paths"]
        found = [_entry(name, *files[name]) for name in asked if name in files]
        folders = [n for n in asked if any(f.startswith(f"{n}/") for f in files)]
        found += [{"type": "directory", "path": n, "oid": "0" * 40, "size": 0} for n in folders]
        self._send(200, found)

    def resolve(self, repo: str, revision: str, name: str) -> None:
        files = self._files(repo, revision)
        if files is None:
            return
        if name not in files:
            self._send(404, {"error": "none"}, {"X-Error-Code": "EntryNotFound"})
            return
        oid, data = files[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2] or len(data)), len(data) - 1) if wanted else len(data) - 1
        part = data[first : last + 1]
        headers = {"ETag": f'"{oid}"', "X-Repo-Commit": "0" * 40, "Accept-Ranges": "bytes",
                   "Content-Length": str(len(part))}  # fmt: skip
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._send(206 if wanted else 200, part, headers)


def _is_private(asked: dict) -> bool:
    return bool(asked.get("private")) or asked.get("visibility") == "private"


def _git_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(name: str, oid: str, data: bytes) -> dict:
    found = {"type": "file", "path": name, "size": len(data), "oid": oid}
    if oid.startswith("sha256:"):
        sha = oid.removeprefix("sha256:")
        found["oid"] = _git_sha(oid.encode())
        found["lfs"] = {"oid": sha, "size": len(data), "pointerSize": 130}
    return found


_REPO = r"([^/]+/[^/]+)"
_ROUTES: list[tuple[str, Callable]] = [
    (r"/api/whoami-v2", _Handler.whoami),
    (r"/api/repos/create", _Handler.create),
    (r"/api/validate-yaml", _Handler.yaml),
    (rf"/api/datasets/{_REPO}/branch/(.+)", _Handler.branch),
    (rf"/api/datasets/{_REPO}/preupload/([^/]+)", _Handler.preupload),
    (rf"/api/datasets/{_REPO}/commit/([^/]+)", _Handler.commit),
    (rf"/api/datasets/{_REPO}/tree/([^/]+)/?(.*)", _Handler.tree),
    (rf"/api/datasets/{_REPO}/paths-info/([^/]+)", _Handler.paths_info),
    (rf"/api/datasets/{_REPO}/revision/([^/]+)", _Handler.info),
    (rf"/api/datasets/{_REPO}", _Handler.info),
    (r"/api/datasets/([^/]+)(?:/revision/.+)?", _Handler.info),
    (rf"/datasets/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"/store/([0-9a-f]{64})", _Handler.store),
    (r"/verify", _Handler.verify),
    (rf"/datasets/{_REPO}/resolve/([^/]+)/(.+)", _Handler.resolve),
]

"""What the codecs can do on this machine, found out in child processes and remembered.

Encoders have crashed on parameters that their documentation allows, and drivers hang,
so each codec is probed by ``python -m xvcomp.codecs.probing NAME``: a crash or a
hang of the child becomes the reason why the codec is not used. Results are kept in
``$XVCOMP_CACHE`` (``~/.cache/xvcomp`` by default) for this build of FFmpeg.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from . import registry
from .abc import Capabilities
from .isolated import child_environment

__all__ = ["all_capabilities", "clear", "probe", "recall", "remember"]

_TIMEOUT_SECONDS = 120.0
# A driver may be installed at any time, and a busy machine looks like a hung one.
_REASON_VALID_SECONDS = 24 * 3600.0
_HANG_VALID_SECONDS = 600.0
_HUNG = "hung: no answer"

_Key = tuple[str, str]
"""A codec, and what besides this package decides what it can do."""

_known: dict[_Key, Capabilities] = {}
_answers: dict[str, str] = {}
_lock = threading.Lock()


def probe(name: str, *, refresh: bool = False) -> Capabilities:
    """Return what codec ``name`` can do here.

    Parameters
    ----------
    name : str
    refresh : bool
        Ask the machine again, whatever was remembered.

    Raises
    ------
    CodecUnavailable
        If no codec has that name. A codec that cannot run is no error: see ``reason``.

    Notes
    -----
    Codecs that were registered by hand are unknown to a new process; they are asked in
    this one, and not remembered on disk.
    """
    codec = registry.get(name)
    if not registry.is_builtin(name):
        return codec.probe()
    key = (name, registry.builtin()[name].stamp())
    with _lock:
        found = None if refresh else _known.get(key)
    if found is None:
        found = _asked(key, refresh)
        with _lock:
            _known[key] = found
    return found


def all_capabilities(*, refresh: bool = False) -> dict[str, Capabilities]:
    """Return the capabilities of every codec, by name; unusable ones tell the reason."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda name: probe(name, refresh=refresh), registry.names())
        return dict(zip(registry.names(), found, strict=True))


def clear() -> None:
    """Forget what this process remembers; files stay."""
    with _lock:
        _known.clear()
        _answers.clear()


def _asked(key: _Key, refresh: bool) -> Capabilities:
    """Spare the child process where the encoder is known to be absent."""
    codec = registry.builtin()[key[0]]
    reason = codec.missing()
    if reason is not None:
        reason = f"it needs {codec.needs}: {reason}" if codec.needs else reason
        return Capabilities(device=codec.device, via=codec.via, reason=reason)
    return (None if refresh else _load(key)) or _store(key, _in_child(key[0], _TIMEOUT_SECONDS))


def _in_child(name: str, timeout_seconds: float) -> Capabilities:
    """Probe in a new process, and read the JSON on its last line."""
    command = [sys.executable, "-m", "xvcomp.codecs.probing", name]
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Capabilities(reason=f"{name} {_HUNG} in {timeout_seconds:.0f} s")
    except OSError as error:
        return Capabilities(reason=f"no process could be started to probe {name}: {error}")
    with suppress(ValueError, IndexError, KeyError, TypeError):
        return _from_dict(json.loads(child.stdout.decode().splitlines()[-1]))
    tail = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return Capabilities(
        reason=f"{name} crashed when probed (exit status {child.returncode}): {''.join(tail)}"
    )


def _from_dict(data: dict[str, Any]) -> Capabilities:
    """Undo ``asdict`` and JSON, which turns tuples to lists."""
    changed: dict[str, Any] = {key: tuple(map(tuple, data[key])) for key in ("formats", "lossless")}
    changed |= {key: tuple(data[key]) for key in ("min_size", "max_size", "odd_sizes", "pix_fmts")}
    return Capabilities(**{**data, **changed})


def _folder() -> Path:
    given = os.environ.get("XVCOMP_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "xvcomp"


def _file(key: _Key) -> Path:
    name, stamp = key
    beside = f"-{hashlib.sha256(stamp.encode()).hexdigest()[:8]}" if stamp else ""
    return _folder() / f"codec-{name}-{_build_key()}{beside}.json"


@cache
def _build_key() -> str:
    """Name this machine, this build of FFmpeg and this version of the code."""
    import av

    versions = [av.__version__, str(sorted(av.library_versions.items()))]
    machine = [platform.node(), platform.platform(), platform.machine()]
    digest = hashlib.sha256("\n".join([*versions, *machine]).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def recall(name: str) -> str | None:
    """Return what was remembered on this machine under a name, for as long as reasons hold."""
    if name in _answers:
        return _answers[name]
    with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):
        path = _file((name, ""))
        if time.time() - path.stat().st_mtime < _REASON_VALID_SECONDS:
            _answers[name] = str(json.loads(path.read_text())["answer"])
            return _answers[name]
    return None


def remember(name: str, answer: str) -> None:
    """Keep a text for this machine, this build of FFmpeg and this version of the code."""
    _answers[name] = answer
    _write(_file((name, "")), {"answer": answer})


def _load(key: _Key) -> Capabilities | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):
        path = _file(key)
        found = _from_dict(json.loads(path.read_text()))
        hung = _HUNG in (found.reason or "")
        valid_seconds = _HANG_VALID_SECONDS if hung else _REASON_VALID_SECONDS
        if found.usable or time.time() - path.stat().st_mtime < valid_seconds:
            return found
    return None


def _store(key: _Key, found: Capabilities) -> Capabilities:
    _write(_file(key), asdict(found))
    return found


def _write(path: Path, data: dict[str, Any]) -> None:
    """Write in one step, so that two processes never read half a file."""
    # A home that cannot be written to only means that the next process asks again.
    with suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
        Path(temporary).replace(path)

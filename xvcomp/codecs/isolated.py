"""Run an encoder in a process of its own: drivers crash and hang, and take their caller along.

The parent sends a line of JSON and raw planes; the child answers with a line of JSON (which
packets are keyframes) and the MP4, or with a reason on stderr and an exit status.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CodecError, CodecUnavailable
from ..spec import Planes
from .abc import StreamParams
from .processes import Finished, run, stall_seconds

if TYPE_CHECKING:
    from .pyav import PyavCodec

__all__ = ["child_environment", "encode_in_child", "in_child", "serve"]

_UNAVAILABLE, _FAILED = 3, 4
_MARK = "XVCOMP_IN_CHILD"


def in_child() -> bool:
    """Say whether this process was made to run encoders that may bring it down."""
    return os.environ.get(_MARK) == "1"


def child_environment() -> dict[str, str]:
    """Return the environment of a process that finds this package and knows what it is for."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, _MARK: "1"}


def encode_in_child(
    name: str, planes: Planes, params: StreamParams, *, module: str = "xvcomp.codecs.isolated"
) -> tuple[bytes, list[bool]]:
    """Encode with codec ``name`` in a new process.

    Returns
    -------
    segment : bytes
    keyframes : list of bool

    Raises
    ------
    CodecUnavailable
        If the encoder does not open.
    CodecError
        If it fails, crashes or hangs.
    """
    finished = run(
        [sys.executable, "-m", module, name],
        _request(planes, params),
        name=name,
        stall=stall_seconds(sum(plane.size for plane in planes)),
        env=child_environment(),
    )
    return _answer(name, finished)


def _request(planes: Planes, params: StreamParams) -> Iterator[bytes]:
    head = {"params": asdict(params), "shapes": [plane.shape for plane in planes]}
    yield json.dumps(head).encode() + b"\n"
    for plane in planes:
        yield np.ascontiguousarray(plane, dtype="<u2").tobytes()


def _answer(name: str, finished: Finished) -> tuple[bytes, list[bool]]:
    if finished.status in (_UNAVAILABLE, _FAILED):
        kind = CodecUnavailable if finished.status == _UNAVAILABLE else CodecError
        raise kind("".join(finished.last_lines[-1:]) or f"{name} failed")
    if finished.status != 0:
        raise CodecError(f"{name} crashed, {finished.why}")
    head, _, segment = finished.stdout.partition(b"\n")
    try:
        return segment, [bool(key) for key in json.loads(head)["keyframes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"{name} answered with something else than a stream: {error}") from error


def _read_request(data: bytes) -> tuple[Planes, StreamParams]:
    head, _, body = data.partition(b"\n")
    asked: dict[str, Any] = json.loads(head)
    planes, start = [], 0
    for shape in asked["shapes"]:
        count = int(np.prod(shape))
        plane = np.frombuffer(body, "<u2", count, start).reshape(shape)
        planes.append(plane.astype(np.uint16, copy=False))
        start += 2 * count
    return tuple(planes), StreamParams(**asked["params"])


def serve(codec: "PyavCodec") -> int:
    """Be the child: encode what stdin holds, and return the exit status."""
    import av

    # The reason of a failure, such as a missing driver, is in FFmpeg's log only.
    av.logging.set_level(av.logging.ERROR)
    planes, params = _read_request(sys.stdin.buffer.read())
    try:
        segment, keyframes = codec.run(planes, codec.carrier(params), params)
    except CodecError as error:
        sys.stderr.write("\n" + " ".join(str(error).split()) + "\n")
        return _UNAVAILABLE if isinstance(error, CodecUnavailable) else _FAILED
    sys.stdout.buffer.write(json.dumps({"keyframes": keyframes}).encode() + b"\n" + segment)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    from .registry import builtin

    sys.exit(serve(builtin()[sys.argv[1]]))

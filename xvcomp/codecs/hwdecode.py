"""Decode on a device, once it has shown that it gives the same samples as software.

Decoders of a standard are to agree bit for bit; drivers do not always, and files hold
corrections that rely on it. So the first GOP of each type of stream is decoded both ways, in a
process of its own, and the answer is kept for this machine and build. Software decodes
whatever is not trusted, and whatever a device refuses.
"""

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ..errors import CodecError, CodecUnavailable
from ..spec import Chroma, Planes, StreamInfo
from .capabilities import recall, remember
from .decoding import decode_packets
from .isolated import child_environment
from .processes import run, stall_seconds

__all__ = ["check_hwaccel", "decode_on_device", "is_trusted"]

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_MARK = b"xvcomp-answer "


def check_hwaccel(hwaccel: str) -> None:
    """Refuse a kind of device that FFmpeg does not know.

    Raises
    ------
    CodecUnavailable
        Listing those that this build knows. Whether there is a device is found out later.
    """
    from av.codec.hwaccel import hwdevices_available

    known = hwdevices_available()
    if hwaccel not in known:
        raise CodecUnavailable(
            f"hwaccel {hwaccel!r} is unknown to PyAV's build of FFmpeg, which knows "
            f"{', '.join(known) or 'none'}"
        )


def decode_on_device(
    packets: Sequence[bytes], info: StreamInfo, *, chroma: Chroma, hwaccel: str
) -> Planes | None:
    """Decode the packets of whole GOPs on a device that is trusted with such streams.

    Parameters
    ----------
    packets, info, chroma
        As for `decoding.decode_packets`.
    hwaccel : str
        FFmpeg's name of a kind of device, such as ``cuda``.

    Returns
    -------
    Planes or None
        ``None`` where software has to do it; the log says why.
    """
    if not is_trusted(packets, info, chroma=chroma, hwaccel=hwaccel):
        return None
    try:
        return decode_packets(packets, info, chroma=chroma, hwaccel=hwaccel)
    except CodecError as error:
        _log.warning("%s cannot decode a GOP, software does: %s", hwaccel, error)
        return None


def is_trusted(packets: Sequence[bytes], info: StreamInfo, *, chroma: Chroma, hwaccel: str) -> bool:
    """Say whether a device decodes streams like this one bit-exactly; tried once."""
    name = f"hwaccel-{hwaccel}-{info.decoder}-{info.pix_fmt}"
    with _lock:
        found = recall(name)
        if found is None:
            found = _tried(packets, info, chroma, hwaccel)
            remember(name, found)
            if found:
                _log.warning("%s is not used for %s: %s", hwaccel, info.decoder, found)
    return not found


def _tried(packets: Sequence[bytes], info: StreamInfo, chroma: Chroma, hwaccel: str) -> str:
    """Return why a device is not to be trusted; empty when it is."""
    head = asdict(replace(info, extradata=b"")) | {"chroma": chroma, "hwaccel": hwaccel}
    head |= {"extradata": len(info.extradata), "packets": [len(packet) for packet in packets]}
    command = [sys.executable, "-m", "xvcomp.codecs.hwdecode"]
    chunks = [json.dumps(head).encode() + b"\n", info.extradata, *packets]
    stall = stall_seconds(len(packets) * info.height * info.width)
    try:
        ended = run(command, chunks, name=hwaccel, stall=stall, env=child_environment())
    except CodecError as error:
        return str(error)
    answer = ended.stdout.rpartition(_MARK)[2].decode(errors="replace").strip()
    return "" if answer == "exact" and ended.status == 0 else answer or f"it crashed, {ended.why}"


def _compare(data: bytes) -> str:
    """Be the child: decode both ways."""
    head, _, body = data.partition(b"\n")
    asked: dict[str, Any] = json.loads(head)
    sizes, start = [asked.pop("extradata"), *asked.pop("packets")], 0
    parts = []
    for size in sizes:
        parts.append(body[start : start + size])
        start += size
    chroma, hwaccel = asked.pop("chroma"), asked.pop("hwaccel")
    info = StreamInfo(**asked, extradata=parts[0])
    try:
        device = decode_packets(parts[1:], info, chroma=chroma, hwaccel=hwaccel)
    except CodecError as error:
        return str(error)
    software = decode_packets(parts[1:], info, chroma=chroma)
    digests = [
        hashlib.sha256(b"".join(plane.tobytes() for plane in planes)).digest()
        for planes in (device, software)
    ]
    return "exact" if digests[0] == digests[1] else "its samples differ from software's"


if __name__ == "__main__":
    answer = _compare(sys.stdin.buffer.read())
    sys.stdout.buffer.write(_MARK + " ".join(answer.split()).encode())
    sys.stdout.buffer.flush()
    os._exit(0)  # a driver's own clean-up has crashed after the work was done

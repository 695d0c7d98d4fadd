"""Parts of cube files to damage: whole files, headers, manifests, packets, datasets, tags."""

import base64
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from xvcomp import spec
from xvcomp.containers.boxes import box, children
from xvcomp.containers.movie import Movie, pack_movie, unpack_movie

__all__ = ["manifest_of", "movie_of", "plain_header", "with_manifest", "with_moov"]


def _moov(data: bytes) -> tuple[int, int]:
    """Return where the header's box starts and ends."""
    position = 0
    for kind, payload in children(memoryview(data)):
        nbytes = 8 + len(payload)
        if kind == b"moov":
            return position, position + nbytes
        position += nbytes
    raise ValueError("no header")


def movie_of(data: bytes) -> Movie:
    """Read the header of a whole file."""
    start, end = _moov(data)
    movie = unpack_movie(memoryview(data)[start + 8 : end], len(data))
    if movie is None:
        raise ValueError("no manifest")
    return movie


def with_moov(data: bytes, moov: bytes) -> bytes:
    """Put another header at the end; the old one stays as padding, so all positions hold."""
    start, _ = _moov(data)
    return data[: start + 4] + b"free" + data[start + 8 :] + moov


def plain_header(data: bytes) -> bytes:
    """Return the header's box without compression, thus without the checksum of deflate."""
    return pack_movie(movie_of(data), compress=False)


def compressed(plain: bytes) -> bytes:
    """Compress a header, as a forger would after changing it."""
    packed = struct.pack(">I", len(plain)) + zlib.compress(plain, 1)
    return box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", packed)))


def manifest_of(data: bytes) -> dict[str, Any]:
    """Return the body of the manifest as plain JSON."""
    envelope = json.loads(movie_of(data).manifest)
    inflater = zlib.decompressobj(-15, _dictionary())
    found: dict[str, Any] = json.loads(inflater.decompress(base64.b64decode(envelope["deflate"])))
    return found


def with_manifest(data: bytes, body: bytes) -> bytes:
    """Return the file with another manifest, whose checksum is right."""
    packed = base64.b64encode(_deflated(body)).decode()
    envelope = {"format_version": 1, "crc32": zlib.crc32(body), "deflate": packed}
    movie = replace(movie_of(data), manifest=json.dumps(envelope))
    return with_moov(data, pack_movie(movie, compress=False))


def _dictionary() -> bytes:
    return Path(spec.__file__).with_name("data").joinpath("manifest-v1.dict").read_bytes()


def _deflated(body: bytes) -> bytes:
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _dictionary())
    return deflater.compress(body) + deflater.flush()

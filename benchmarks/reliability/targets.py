"""What is fuzzed: for each reader, how an input is made and what may come of it.

A target's ``attempt`` makes one damaged input and reads it. It returns ``refused`` (an error
of ours), ``right`` (the data as they were) or ``valid`` (other data of the declared form,
where checksums were forged to match). Anything else is raised: a loss.
"""

import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import xarray as xr

import xvcomp
from xvcomp import sidecar
from xvcomp.codecs.decoding import decode_packets
from xvcomp.containers import taco
from xvcomp.containers.mp4 import Mp4Reader
from xvcomp.importing.tag import VideoTag
from xvcomp.parts import Part
from xvcomp.pipeline import DecodePart, decode_part
from xvcomp.planes import chroma_of
from xvcomp.reading import CubeFile
from xvcomp.typed_json import pack_json, unpack_json

from .corpus import KINDS
from .inputs import compressed, manifest_of, plain_header, with_manifest, with_moov
from .mutate import dump, mutate_bytes, mutate_json, mutate_text

__all__ = ["TARGETS", "Outcome", "loaded", "snapshot"]

Outcome = str
_FROZEN = Path(__file__).parents[2] / "tests" / "data" / "v1"
REFUSED, RIGHT, VALID = "refused", "right", "valid"


class WrongData(AssertionError):
    """Damage that changed the data went unnoticed."""


@cache
def seeds() -> Mapping[str, bytes]:
    """Return one small file of each kind: the frozen ones, so that inputs repeat."""
    return {kind: (_FROZEN / f"{kind}.mp4").read_bytes() for kind in KINDS}


def loaded(data: bytes) -> xr.Dataset:
    """Read everything that a file holds."""
    with xvcomp.open(io.BytesIO(data), cache_bytes=0) as opened:
        return opened.load()


def snapshot(cube: xr.Dataset) -> dict[str, Any]:
    """Return all of a dataset in a form in which equal means identical, NaN too."""
    return {
        name: (each.dims, str(each.dtype), _bits(each.values), repr(each.attrs))
        for name, each in cube.variables.items()
    } | {"": repr(cube.attrs)}


def _bits(values: Any) -> Any:
    return repr(values.tolist()) if values.dtype.hasobject else values.tobytes()


@cache
def _expected() -> Mapping[str, Any]:
    return {kind: snapshot(loaded(data)) for kind, data in seeds().items()}


def _judged(kind: str, data: bytes) -> Outcome:
    try:
        found = loaded(data)
    except xvcomp.XvcompError:
        return REFUSED
    if snapshot(found) != _expected()[kind]:
        raise WrongData(f"{kind}: other data came back, without an error")
    return RIGHT


def whole_file(random: Random) -> Outcome:
    """Damage any byte of a file as it was written."""
    kind = random.choice(list(KINDS))
    data = seeds()[kind]
    return _judged(kind, mutate_bytes(data, random, [seeds()["gaps"]]))


@cache
def _headers() -> Mapping[str, bytes]:
    return {kind: plain_header(data) for kind, data in seeds().items()}


def boxes(random: Random) -> Outcome:
    """Damage tables of a header that has no checksum, or a checksum that was made to match.

    The manifest in it keeps its checksum, and so do the packets.
    """
    kind = random.choice(list(KINDS))
    moov = mutate_bytes(_headers()[kind], random, [_headers()["gaps"]])
    if random.random() < 0.3:
        moov = compressed(moov)
    return _judged(kind, with_moov(seeds()[kind], moov))


@cache
def _manifests() -> Mapping[str, Any]:
    return {kind: manifest_of(data) for kind, data in seeds().items()}


def manifest(random: Random) -> Outcome:
    """Forge a manifest, its checksum too: nobody can tell, but nothing may break."""
    kind = random.choice(list(KINDS))
    body = dump(mutate_json(_manifests()[kind], random))
    if random.random() < 0.1:
        body = mutate_bytes(body, random)
    data = with_manifest(seeds()[kind], body)
    try:
        loaded(data)
    except xvcomp.XvcompError:
        return REFUSED
    return VALID


@dataclass(frozen=True, slots=True)
class _Decodable:
    group: Any
    forms: Any
    part: DecodePart
    streams: tuple[tuple[Any, list[bytes]], ...]


@cache
def _parts() -> Sequence[_Decodable]:
    """Return the first part of every group, taken to its packets."""
    found = []
    for data in seeds().values():
        cube = CubeFile(data)
        for group in cube.manifest.groups:
            source = cube._parts[group.name]
            found.append(_decodable(cube, source, source.fetch([Part(0, 0)])[0]))
    return found


def _decodable(cube: CubeFile, source: Any, packets: list[bytes]) -> _Decodable:
    group, rest = source.group, iter(packets)
    places = source._places(Part(0, 0))
    streams = [[next(rest) for _ in stream] for stream in places.streams]
    infos = [cube.reader.tracks[track] for track in source._tracks(0)]
    payloads = [source._payload(kind, place, rest) for kind, place in enumerate(places.payloads)]
    ys, xs = source.blocks[0]
    frames = source.frames(Part(0, 0))
    chroma = "gray" if group.layout is None else chroma_of(group.layout.kind)
    part = DecodePart(
        shape=(frames.stop - frames.start, ys.stop - ys.start, xs.stop - xs.start),
        streams=[
            decode_packets(stream, info, chroma=chroma)
            for stream, info in zip(streams, infos, strict=True)
        ],
        masks=payloads[0],
        residuals=payloads[1],
    )
    return _Decodable(group, source.forms, part, tuple(zip(infos, streams, strict=True)))


def packets(random: Random) -> Outcome:
    """Forge mask and residual packets, behind the checksums."""
    able = [each for each in _parts() if any(map(len, (*each.part.masks, *each.part.residuals)))]
    chosen = random.choice(able)
    part = chosen.part
    changed = {
        name: [mutate_bytes(payload, random) for payload in getattr(part, name)]
        for name in ("masks", "residuals")
    }
    try:
        broken = DecodePart(shape=part.shape, streams=part.streams, **changed)
        values = decode_part(chosen.group, chosen.forms, broken)
    except xvcomp.XvcompError:
        return REFUSED
    for each, form in zip(values, chosen.forms, strict=True):
        time, height, width = part.shape
        if each.shape != (time, form.bands, height, width) or each.dtype != form.dtype:
            raise WrongData(f"a part came back as {each.dtype} of {each.shape}")
    return VALID


def video(random: Random) -> Outcome:
    """Forge video packets, behind the checksums: decoders of FFmpeg."""
    chosen = random.choice([each for each in _parts() if each.streams])
    info, stream = random.choice(chosen.streams)
    changed = list(stream)
    for _ in range(random.choice((1, 1, 2))):
        index = random.randrange(len(changed))
        changed[index] = mutate_bytes(changed[index], random, stream)
    if random.random() < 0.1:
        random.shuffle(changed)
    try:
        decode_packets(changed, info, chroma=chroma_of(chosen.group.layout.kind))
    except xvcomp.XvcompError:
        return REFUSED
    return VALID


@cache
def _arrays() -> Sequence[tuple[bytes, Any, dict[str, tuple[str, tuple[int, ...]]]]]:
    rng = np.random.default_rng(2)
    arrays = {
        "x": np.linspace(0, 1, 50),
        "when": np.array(["2020-01-01", "NaT", "2020-03-01"], "M8[ns]"),
        "name": np.array(["a", None, "ü"], dtype=object),
        "classes": rng.integers(0, 5, (20, 30)).astype("u1"),
        "noise": rng.normal(size=(16, 24)).astype("f4"),
        "steps": np.cumsum(rng.integers(1, 9, 200)),
        "text": np.array(["abc", "d"]),
        "sparse": np.where(rng.random(3000) < 0.01, 7, 0).astype("i4"),
    }
    found = []
    for name, values in arrays.items():
        blob, entries = sidecar.encode_blob({name: values})
        form = ("object" if values.dtype.hasobject else values.dtype.str, values.shape)
        found.append((blob, entries, {name: form}))
    return found


def sidecars(random: Random) -> Outcome:
    """Forge what coordinates and small variables are kept in."""
    blob, entries, forms = random.choice(_arrays())
    changed = mutate_bytes(blob, random, [_arrays()[4][0]])
    if len(changed) != len(blob):
        changed = (changed + bytes(len(blob)))[: len(blob)]
    if random.random() < 0.2:
        name, (dtype, shape) = next(iter(forms.items()))
        huge = random.choice(((2**40,), (*shape, 2**20), (0,), shape[::-1], (2**62, 2**62)))
        forms = {name: (dtype, huge)}
    try:
        sidecar.decode_blob(changed, entries, forms)
    except ValueError:
        return REFUSED
    return VALID


@cache
def _values() -> Sequence[Any]:
    cube = KINDS["sidecar"].make()
    extra = {
        "dtype": np.dtype([("a", ">i4"), ("b", "S3")]),
        "times": cube["time"].values[:2],
        "numbers": np.arange(5, dtype="f2"),
        "mixed": (1, 2.5, {"a": {3}}, np.float32(0.1), b"x", float("nan"), 2**80),
    }
    return [pack_json({**cube.attrs, **extra}), pack_json(cube["spatial_ref"].attrs)]


def typed_json(random: Random) -> Outcome:
    """Forge attributes and encodings, with the types that JSON lacks."""
    text = dump(mutate_json(random.choice(_values()), random))
    try:
        unpack_json(json.loads(text))
    except ValueError:
        return REFUSED
    return VALID


@cache
def _taco() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        samples = []
        for index, kind in enumerate(("repeated", "folded")):
            path = Path(folder) / f"{kind}.mp4"
            path.write_bytes(seeds()[kind])
            columns = {"split": "train", "cloud": index / 2}
            samples.append(taco.TacoSample(id=kind, path=path, columns=columns))
        target = Path(folder) / "data.tacozip"
        taco.write_taco(target, samples, taco.Collection(id="x", licenses=("CC0-1.0",)))
        return target.read_bytes()


def datasets(random: Random) -> Outcome:
    """Damage a TACO dataset: its header, its tables, its index, its description."""
    data = _taco()
    start = data.rindex(b"DATA/folded") if random.random() < 0.8 else 0
    head = data[:157]
    if random.random() < 0.3:
        broken = mutate_bytes(head, random) + data[157:]
    else:
        broken = data[:start] + mutate_bytes(data[start:], random)
    try:
        with taco.open_taco(broken) as reader:
            rows = list(reader.rows(columns=["id"]))
            for row in rows[:4]:
                with Mp4Reader(reader.open(str(row["id"]))) as cube:
                    _ = cube.manifest
    except xvcomp.XvcompError:
        return REFUSED
    return VALID


_PCA = {"dr_matrix": "[[1.0, 0.5]]", "dr_mean": "[0.0, 1.0]", "dr": "{}", "scaler": "None"}
_TAG = str(
    {
        "BANDS": "['B04', 'B03', 'B02']",
        "COORDS_DIMS": "('time', 'x', 'y')",
        "ATTRS": "{'B04': {'units': 'nanometer', 'scale': np.float32(0.1)}, 'B03': {}, 'B02': {}}",
        "FRAMES": "3",
        "RANGE": "[[0.0, 1.5], [nan, 2.0], [-1e-3, np.float32(1.0)]]",
        "OUT_PIX_FMT": "gbrp12le",
        "BITS": 12,
        "NORMALIZED": "True",
        "CHANNEL_ORDER": "gbr",
        "ORDER": "1",
        "PCA_PARAMS": str(_PCA),
    }
)


def tags(random: Random) -> Outcome:
    """Forge what xarrayvideo writes of a video: Python literals in text."""
    try:
        VideoTag.parse(mutate_text(_TAG, random))
    except xvcomp.XvcompError:
        return REFUSED
    return VALID


TARGETS: Mapping[str, tuple[Callable[[Random], Outcome], int]] = {
    "file": (whole_file, 30_000),
    "boxes": (boxes, 40_000),
    "manifest": (manifest, 30_000),
    "packets": (packets, 30_000),
    "video": (video, 10_000),
    "sidecar": (sidecars, 30_000),
    "typed_json": (typed_json, 30_000),
    "dataset": (datasets, 15_000),
    "xarrayvideo_tag": (tags, 20_000),
}
"""Each target with the number of inputs in a full campaign."""

"""A manifest survives its JSON exactly; newer and damaged ones are refused."""

import base64
import hashlib
import json
import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xvcomp import spec
from xvcomp.errors import ManifestError
from xvcomp.typed_json import pack_json, unpack_json

names = st.text(max_size=12)
sizes = st.integers(1, 1000)
positive = st.floats(1e-300, 1e300)
finite = st.floats(allow_nan=False, allow_infinity=False)
targets = st.one_of(
    st.builds(spec.Psnr, positive, st.none() | positive),
    st.builds(spec.Bpppb, positive),
    st.builds(spec.Ratio, positive),
    st.builds(spec.Ssim, st.floats(0.01, 0.99)),
    st.builds(spec.MaxError, positive, st.sampled_from(["absolute", "range", "pointwise"])),
    st.just(spec.Lossless()),
    st.builds(spec.Quality, finite),
)
attributes = st.dictionaries(
    names,
    st.floats()
    | st.integers()
    | names
    | st.binary(max_size=4)
    | st.tuples(names, st.none() | st.booleans())
    | st.sampled_from([np.float32(0.1), np.array([1, 2], ">i2"), np.dtype("M8[ns]")]),
    max_size=4,
)


def small_arrays(dtype, *shape):
    size = math.prod(shape)
    return st.binary(min_size=8 * size, max_size=8 * size).map(
        lambda data: spec.Array.of(np.frombuffer(data, "u8").astype(dtype).reshape(shape))
    )


@st.composite
def klts(draw):
    bands, components = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return spec.Klt(
        matrix=draw(small_arrays("i4", bands, components)),
        shift=draw(st.integers(0, 30)),
        means=draw(small_arrays("f8", bands)),
        weights=draw(small_arrays("f8", bands)),
    )


@st.composite
def groups(draw):
    variables = tuple(draw(st.lists(names, min_size=1, max_size=3)))
    return spec.BandGroup(
        name=draw(names),
        variables=variables,
        frame_dim=draw(st.none() | names),
        y_dim=draw(st.none() | names),
        x_dim=draw(st.none() | names),
        shape=draw(st.tuples(sizes, sizes, sizes, sizes)),
        repeat=draw(st.tuples(sizes, sizes)),
        fold=draw(sizes),
        gop=draw(sizes),
        block=draw(st.tuples(sizes, sizes)),
        codec=draw(names),
        preset=draw(st.sampled_from(["fast", "balanced", "best"])),
        quantizer=draw(st.none() | sizes),
        quantization=draw(
            st.none()
            | st.builds(
                spec.Quantization,
                bit_depth=st.integers(8, 16),
                step=positive,
                offsets=st.lists(st.integers(-9, 4095), max_size=3).map(tuple),
            )
        ),
        klt=draw(st.none() | klts()),
        layout=draw(
            st.none()
            | st.builds(
                spec.Layout,
                kind=st.sampled_from(["tiled", "yuv444", "yuv420", "gray"]),
                columns=sizes,
            )
        ),
        mask=draw(
            st.none() | st.just(spec.MaskSpec(specials=(spec.Array.of(np.array([np.nan], "f4")),)))
        ),
        residual=draw(
            st.none()
            | st.builds(
                spec.ResidualSpec,
                kind=st.sampled_from(["bits", "linear", "log"]),
                steps=st.lists(positive, max_size=3).map(tuple),
            )
        ),
        first_track=draw(sizes),
        slot=draw(sizes),
        valid_min=tuple(draw(finite) for _ in variables),
        valid_max=tuple(draw(finite) for _ in variables),
        checksums=draw(small_arrays("u4", 1, 3)),
        packet_checksums=draw(small_arrays("u4", 1, 2, 3)),
        quality_set=draw(names),
        measured=draw(st.dictionaries(names, st.none() | finite, max_size=3)),
    )


variables = st.builds(
    spec.VariableSpec,
    name=names,
    dims=st.lists(names, max_size=3).map(tuple),
    shape=st.lists(sizes, max_size=3).map(tuple),
    dtype=st.sampled_from(["<f4", ">i2", "object"]),
    attrs=attributes.map(pack_json),
    encoding=attributes.map(pack_json),
    is_coord=st.booleans(),
    cf=st.booleans(),
    decoded_dtype=st.none() | st.just("<f8"),
)
entries = st.builds(
    spec.SidecarEntry,
    name=names,
    coder=names,
    nbytes=sizes,
    params=attributes.map(pack_json) | st.none(),
)


def several(strategy):
    return st.lists(strategy, max_size=2).map(tuple)


manifests = st.builds(
    spec.Manifest,
    created_by=names,
    target=targets,
    attrs=attributes.map(pack_json),
    encoding=attributes.map(pack_json),
    dims=several(st.tuples(names, sizes)),
    variables=several(variables),
    groups=several(groups()),
    sidecar=several(entries),
    sidecar_crc32=st.integers(0, 2**32 - 1),
    sidecar_data=st.none() | st.binary(max_size=64),
    raw_nbytes=st.integers(0, 2**62),
    notes=several(names),
)


@settings(deadline=None, max_examples=100)
@given(manifests)
def test_a_manifest_survives_its_json_exactly(manifest):
    back = spec.Manifest.from_json(manifest.to_json())
    assert back == manifest
    # Equality takes 1 for 1.0; the text does not.
    assert repr(back) == repr(manifest)


@settings(deadline=None, max_examples=50)
@given(attributes)
def test_attributes_keep_their_types_through_a_manifest(attrs):
    manifest = _manifest(attrs=pack_json(attrs))
    back = unpack_json(spec.Manifest.from_json(manifest.to_json()).attrs)
    assert repr(back) == repr(attrs)


def _manifest(**changes):
    values = {
        "created_by": "test",
        "target": spec.Psnr(50),
        "attrs": {"title": "a cube"},
        "encoding": {},
        "dims": (("x", 3),),
        "variables": (),
        "groups": (),
        "sidecar": (),
        "sidecar_crc32": 0,
        "sidecar_data": b"abc",
        "raw_nbytes": 12,
    }
    return spec.Manifest(**(values | changes))


def test_a_newer_version_is_refused_with_advice():
    envelope = json.loads(_manifest().to_json())
    envelope["format_version"] = spec.FORMAT_VERSION + 1
    with pytest.raises(ManifestError, match="upgrade xvcomp"):
        spec.Manifest.from_json(json.dumps(envelope))


@pytest.mark.parametrize("version", [0, -1, None, "1", 1.5, []])
def test_what_is_no_version_is_refused(version):
    envelope = json.loads(_manifest().to_json()) | {"format_version": version}
    with pytest.raises(ManifestError):
        spec.Manifest.from_json(json.dumps(envelope))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", "{}", '{"format_version": 1}', "[" * 100_000]
)
def test_text_that_is_no_manifest_is_refused(text):
    with pytest.raises(ManifestError):
        spec.Manifest.from_json(text)


def test_every_damage_to_the_text_is_noticed():
    manifest = _manifest()
    text = manifest.to_json()
    rng = np.random.default_rng(0)
    for _ in range(500):
        where, what = int(rng.integers(len(text))), chr(rng.integers(32, 127))
        damaged = text[:where] + what + text[where + 1 :]
        try:
            back = spec.Manifest.from_json(damaged)
        except ManifestError:
            continue
        # Only what the checksum covers matters; a change that means nothing may pass.
        assert back == manifest


def test_cut_text_is_refused():
    text = _manifest().to_json()
    for end in range(0, len(text), 7):
        with pytest.raises(ManifestError):
            spec.Manifest.from_json(text[:end])


def _enveloped(body):
    packed = base64.b64encode(spec._deflate(body)).decode()
    return json.dumps({"format_version": 1, "crc32": zlib.crc32(body), "deflate": packed})


@pytest.mark.parametrize(
    "change",
    [
        {"target": {"kind": "future"}},
        {"target": {"kind": "psnr", "db": -1}},
        {"target": None},
        {"dims": [["x"]]},
        {"raw_nbytes": "many"},
        {"sidecar_data": "not base64!"},
        {"variables": [{}]},
    ],
    ids=str,
)
def test_a_body_of_the_wrong_form_is_refused(change):
    envelope = json.loads(_manifest().to_json())
    body = json.loads(spec._inflate(base64.b64decode(envelope["deflate"])))
    spec.Manifest.from_json(_enveloped(json.dumps(body).encode()))
    with pytest.raises(ManifestError):
        spec.Manifest.from_json(_enveloped(json.dumps(body | change).encode()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: spec.Psnr(0),
        lambda: spec.Psnr(50, peak=math.inf),
        lambda: spec.Bpppb(-1),
        lambda: spec.Ratio(math.nan),
        lambda: spec.Ssim(1),
        lambda: spec.MaxError(0),
        lambda: spec.Quality(math.inf),
        lambda: spec.Array(dtype="<f4", shape=(2,), data=b"1234"),
        lambda: spec.Array(dtype="O", shape=(1,), data=b"12345678"),
        lambda: spec.Quantization(bit_depth=7, step=1.0, offsets=()),
        lambda: spec.Layout(kind="tiled", columns=0),
    ],
)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"\w"):
        make()


@pytest.mark.parametrize(
    ("whole", "fraction"),
    [
        (spec.Psnr(45), spec.Psnr(45.0)),
        (spec.Psnr(45, peak=10000), spec.Psnr(45.0, peak=10000.0)),
        (spec.Psnr(np.float32(45)), spec.Psnr(45.0)),
        (spec.Bpppb(1), spec.Bpppb(1.0)),
        (spec.Ratio(10), spec.Ratio(10.0)),
        (spec.Ssim(np.float32(0.5)), spec.Ssim(0.5)),
        (spec.MaxError(2), spec.MaxError(2.0)),
        (spec.Quality(45), spec.Quality(45.0)),
    ],
)
def test_equal_targets_make_equal_manifests(whole, fraction):
    assert repr(whole) == repr(fraction)
    assert _manifest(target=whole).to_json() == _manifest(target=fraction).to_json()


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "?", "M8[D]"])
def test_small_arrays_come_back_in_any_byte_order(dtype):
    values = np.array([[1, 2, 3]]).astype(dtype)
    np.testing.assert_array_equal(spec.Array.of(values).numpy(), values)


def test_the_words_of_format_version_1_never_change():
    digest = hashlib.sha256(spec._dictionary()).hexdigest()
    assert digest == "65be5578c09f73b82b9f9e1ff48e79d7bcfaa04553a3d7d9d34eddea8eb18095"


@pytest.mark.parametrize("name", ["matrix", "means", "weights"])
@pytest.mark.parametrize("dtype", ["M8[ns]", "c16", "S4", "?"])
def test_a_transform_of_what_is_no_number_is_refused(name, dtype):
    arrays = {"matrix": np.eye(2, dtype="i2"), "means": np.zeros(2), "weights": np.ones(2)}
    arrays[name] = np.zeros(arrays[name].shape, dtype)
    with pytest.raises(ValueError, match="must hold integers"):
        spec.Klt(shift=0, **{key: spec.Array.of(values) for key, values in arrays.items()})

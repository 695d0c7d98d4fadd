"""The format's document is enough: a reader written from it alone gets the same samples."""

import re
from importlib import resources
from pathlib import Path

import format_corrections
import format_residuals
import format_wavelets
import numpy as np
import pytest
import xarray as xr
from format_reader import FormatReader

import xvcomp
from xvcomp import residual
from xvcomp.pipeline import wavelets
from xvcomp.residual import decode_codes
from xvcomp.residual.integers import pco_encode
from xvcomp.spec import BandGroup, Manifest, VariableSpec

DOCUMENT = resources.files("xvcomp").joinpath("docs", "format.md").read_text(encoding="utf-8")
DICTIONARY = resources.files("xvcomp").joinpath("data", "manifest-v1.dict").read_bytes()


def field(bands: int, dtype: str, *, gaps: bool = False) -> np.ndarray:
    rng = np.random.default_rng(bands)
    t, b, y, x = np.meshgrid(*map(np.arange, (21, bands, 30, 43)), indexing="ij")
    values = 500 + 200 * np.sin(t / 4 + y / 9 + b) + 90 * np.cos(x / 7 - b / 2)
    values += rng.normal(0, 3, values.shape)
    if gaps:
        values[:, :, :4, (x[0, 0, :4] < 9).any(axis=0)] = np.nan
        values[rng.random(values.shape) < 0.02] = np.nan
        values[5] = np.nan
    return values.astype(dtype)


def cube(values: np.ndarray) -> xr.Dataset:
    dims = ("time", "level", "lat", "lon")
    coords = {
        "lat": np.linspace(50.0, 47.1, 30),
        "lon": np.float32(0.25) * np.arange(43, dtype="f4"),
        "level": [1000, 850, 500][: values.shape[1]],
    }
    return xr.Dataset({"t": (dims, values, {"units": "K"})}, coords=coords)


CASES = {
    "tiled": (field(3, "f4"), {}),
    "folded": (field(1, "f4"), {"fold": 4, "gop": 2}),
    "gaps": (field(2, "f4", gaps=True), {"gop": 8}),
    "integers": (field(3, "i2"), {"gop": 7}),
    "colour planes": (field(3, "f4"), {"layout": "yuv420", "bit_depth": 10}),
    "gray": (field(2, "f8"), {"layout": "gray", "transform": "none"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_reader_written_from_the_document_gets_the_same_samples(case, tmp_path):
    values, options = CASES[case]
    dataset, path = cube(values), tmp_path / "cube.mp4"
    xvcomp.encode(dataset, path, target=xvcomp.Quality(45), preset="fast", stored=True, **options)
    ours = xvcomp.open(path, decode_cf=False)
    theirs = FormatReader(path, DICTIONARY)
    assert [spec["name"] for spec in theirs.manifest["variables"]] == list(dataset.variables)
    np.testing.assert_array_equal(theirs.read("t"), ours["t"].values)
    assert theirs.read("t").dtype == ours["t"].dtype
    (group,) = theirs.manifest["groups"]
    assert (group["mask"] is not None) == np.isnan(values).any()
    assert group["fold"] == options.get("fold", 1)
    assert group["layout"]["kind"] == options.get("layout", "tiled")
    for name, kept in theirs.kept().items():
        np.testing.assert_array_equal(kept, dataset[name].values)


BOUNDS = {
    "above a video": (field(2, "f4"), xvcomp.MaxError(0.05), {"gop": 9}),
    "gaps": (field(2, "f4", gaps=True), xvcomp.MaxError(2e-4, "range"), {}),
    "integers": (field(2, "i2"), xvcomp.MaxError(2), {}),
    "logarithms": (field(1, "f4", gaps=True) - 400, xvcomp.MaxError(0.01, "pointwise"), {}),
    "lossless": (field(2, "f4", gaps=True), xvcomp.Lossless(), {"gop": 8}),
    "lossless integers": (field(2, "i2"), xvcomp.Lossless(), {}),
    "decimals": (np.rint(field(1, "f8")) / 10, xvcomp.Lossless(), {}),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_it_reads_corrections_and_lossless_packets_alike(case, tmp_path):
    values, target, options = BOUNDS[case]
    dataset, path = cube(values), tmp_path / "cube.mp4"
    xvcomp.encode(dataset, path, target=target, preset="fast", stored=True, **options)
    ours, theirs = xvcomp.open(path, decode_cf=False), FormatReader(path, DICTIONARY)
    assert theirs.manifest["groups"][0]["residual"] is not None
    np.testing.assert_array_equal(theirs.read("t"), ours["t"].values)


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("shape", [(9, 3, 17, 30), (1, 1, 1, 50), (5, 2, 7, 1), (40, 1, 3, 4)])
def test_it_decodes_pyramids_alike(shape, gaps, rounded):
    rng = np.random.default_rng(7)
    values = np.cumsum(rng.normal(0, 20, shape), axis=3)
    values = np.rint(values) if rounded else values
    valid = rng.random(shape) < 0.7 if gaps else None
    steps, whole = [3.0] * shape[1], [rounded] * shape[1]
    payload, rebuilt = residual.encode_pyramid(values, steps, rounded=whole, valid=valid)
    theirs = format_residuals.pyramid(payload, shape, steps, whole, valid)
    assert theirs.tobytes() == rebuilt.tobytes()


@pytest.mark.parametrize(
    "shape", [(2, 3, 33, 50), (1, 1, 16, 17), (3, 2, 15, 9), (1, 2, 70, 131)], ids=str
)
def test_it_decodes_wavelets_alike(shape):
    rng = np.random.default_rng(5)
    values = np.cumsum(np.cumsum(rng.normal(0, 20, shape), axis=3), axis=2)
    values[:, -1] += 5 * values[:, 0]
    steps = [3.0 + band for band in range(shape[1])]
    payload, rebuilt = wavelets.encode_wavelets(values, steps)
    theirs = format_wavelets.wavelets(payload, shape, steps)
    assert theirs.tobytes() == rebuilt.tobytes()


def _codes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:90, :120]
    smooth = 3000 + 900 * np.sin(y / 15) * np.cos(x / 19)
    patches = (np.sin(y / 9) + np.cos(x / 11) > 0.4).astype("u1")
    return {
        "ramp": np.arange(50, dtype="u2"),
        "falling": np.arange(50, dtype="u2")[::-1],
        "noise": rng.integers(0, 1 << 32, (4, 5, 6), dtype="u4"),
        "smooth": (smooth + rng.normal(0, 1, y.shape)).astype("u2"),
        "repeated": np.repeat(np.repeat(rng.integers(0, 999, (20, 30)), 2, 0), 3, 1).astype("u2"),
        "palette": rng.choice([7, 1000, 65000], (60, 60)).astype("u2"),
        "classes": patches,
        "returning": np.tile(rng.integers(0, 1 << 40, 700), 9).astype("u8"),
        "text": np.frombuffer(b"a word and another word " * 40, "u1"),
        "many axes": rng.integers(0, 9, (2, 3, 1, 4, 5, 6)).astype("u1"),
        "sparse": (rng.random((30, 300)) < 0.003).astype("u4") * 77,
    }


@pytest.mark.parametrize("case", _codes())
def test_it_decodes_codes_alike(case):
    given = _codes()[case]
    payload = residual.encode_codes(given)
    theirs = format_residuals.codes(payload, given.shape, given.dtype.itemsize)
    np.testing.assert_array_equal(theirs, given)


def test_these_codes_are_of_many_kinds():
    kinds = {residual.encode_codes(given)[0] for given in _codes().values()}
    assert kinds == {0, 1, 2, 3, 4, 5, 6, 8}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i4", "i8", "u8", "M8[s]"])
def test_it_decodes_lossless_arrays_alike(dtype):
    rng = np.random.default_rng(5)
    values = (rng.normal(0, 50, (6, 1, 20, 30)) * 8).round().astype("f8") / 8
    if np.dtype(dtype).kind == "f":
        values[0, 0, 3:9] = np.nan
        values[1, 0, 0, 0] = -0.0
    given = (np.abs(values) if dtype == "u8" else values).astype(dtype)
    payload = residual.encode_lossless(given)
    theirs = format_residuals.lossless(payload, given.shape, given.dtype)
    assert theirs.tobytes() == given.tobytes()


def test_it_decodes_searched_codes_alike():
    given = np.random.default_rng(4).integers(0, 1 << 20, 3000, dtype="u4")
    payload = b"\7" + pco_encode(given, search="auto")
    theirs = format_residuals.codes(payload, given.shape, given.dtype.itemsize)
    np.testing.assert_array_equal(theirs, given)
    np.testing.assert_array_equal(decode_codes(payload, given.shape, given.dtype), given)


def test_it_decodes_lattices_exceptions_and_powers_alike():
    rng = np.random.default_rng(6)
    k = rng.choice([-40, 3, 90000], (5, 1, 20, 20)).astype(np.int64)
    found = format_residuals.lattice(residual.encode_lattice(k), k.shape)
    np.testing.assert_array_equal(found, k)
    values = rng.normal(0, 1, 500).astype("f4")
    changed, where = values + 1, rng.random(500) < 0.05
    format_corrections.except_samples(residual.encode_exceptions(values, where), changed)
    np.testing.assert_array_equal(changed, np.where(where, values, values + 1))
    powers = rng.uniform(-1200, 1200, 1000)
    assert format_corrections.exp2(powers).tobytes() == residual.exp2(powers).tobytes()


def test_native_resolution_and_several_groups_read_alike(crop, tmp_path):
    with xr.open_dataset(crop, decode_cf=False) as opened:
        coarse = opened.B11.isel(time=slice(12)).load()
        dataset = opened[["B04", "B08"]].isel(time=slice(12)).load()
    wide = np.repeat(np.repeat(coarse.values, 2, axis=1), 2, axis=2)
    dataset["B11"] = (dataset.B04.dims, wide, coarse.attrs)
    path = tmp_path / "cube.mp4"
    xvcomp.encode(dataset, path, target=xvcomp.Quality(45), preset="fast", stored=True)
    ours, theirs = xvcomp.open(path, decode_cf=False), FormatReader(path, DICTIONARY)
    read = [name for group in theirs.manifest["groups"] for name in group["variables"]]
    assert set(read) == {"B04", "B08", "B11"}
    assert [2, 2] in [group["repeat"] for group in theirs.manifest["groups"]]
    for name in read:
        np.testing.assert_array_equal(theirs.read(name), ours[name].values, err_msg=name)


def test_the_second_reader_uses_nothing_of_xvcomp():
    for name in ("format_reader.py", "format_residuals.py"):
        source = (Path(__file__).parent / name).read_text(encoding="utf-8")
        assert re.findall(r"^\s*(?:from|import) xvcomp", source, flags=re.M) == []


@pytest.mark.parametrize("kind", [Manifest, BandGroup, VariableSpec])
def test_every_field_is_in_the_document(kind):
    missing = [name for name in kind.__dataclass_fields__ if f"`{name}`" not in DOCUMENT]
    assert missing == []


def test_every_tag_of_typed_json_is_in_the_document():
    from xvcomp.typed_json.walk import unpackers

    assert [tag for tag in unpackers if f"`{tag}`" not in DOCUMENT] == []


def test_the_dictionary_is_the_one_that_the_document_names():
    import hashlib

    assert hashlib.sha256(DICTIONARY).hexdigest() in DOCUMENT
    assert f"{len(DICTIONARY)} bytes" in DOCUMENT

"""The format's document is enough: a reader written from it alone gets the same samples."""

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from format_reader import FormatReader

import xvcomp
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
    source = (Path(__file__).parent / "format_reader.py").read_text(encoding="utf-8")
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

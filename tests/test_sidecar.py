"""Coordinates and other exact variables come back bit for bit, and take few bytes."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from strategies import plain_dtypes

from xvcomp import ramps, sidecar
from xvcomp.spec import SidecarEntry


def round_trip(values):
    data, coder, params = sidecar.encode_array(values)
    back = sidecar.decode_array(data, coder, params, values.dtype, values.shape)
    assert back.dtype == values.dtype
    assert back.shape == values.shape
    if values.dtype.hasobject:
        for a, b in zip(values.flat, back.flat, strict=True):
            assert type(a) is type(b)
            assert a == b or (a != a and b != b)
    else:
        assert back.tobytes() == values.tobytes()
    return len(data)


@settings(deadline=None, max_examples=100)
@given(npst.arrays(plain_dtypes, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)))
def test_arrays_of_any_dtype_come_back_bit_for_bit(values):
    round_trip(values)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a", "été", "\ud800", ""], object),
        np.array([["a", None], [np.nan, b"x"]], object),
        np.array([dt.datetime(2020, 1, 1), dt.date(2020, 1, 2)], object),
        np.array([2**70, 1, True, 1.5], object),
        np.array([], object),
        np.array(None, object),
        np.array(["long " * 50, "", "ü"], np.dtypes.StringDType()),
        np.array(["a", None], np.dtypes.StringDType(na_object=None)),
        np.array([(1, b"a")], [("a", ">i4"), ("b", "S3")]),
        np.zeros(3, "V0"),
        np.longdouble([1, 2]),
    ],
    ids=lambda values: f"{values.dtype}{values.shape}",
)
def test_strings_objects_and_records_come_back(values):
    round_trip(values)


def test_lists_inside_objects_are_not_taken_apart():
    values = np.empty(2, object)
    values[0], values[1] = [1, 2], (3, 4)
    round_trip(values)


def test_cftime_coordinates_come_back():
    cftime = pytest.importorskip("cftime")
    dates = [cftime.DatetimeNoLeap(2000, 1, day) for day in range(1, 29)]
    round_trip(np.array(dates, object))


REGULAR = {
    "longitudes": np.linspace(-180, 180, 1440, endpoint=False),
    "latitudes": np.linspace(90, -90, 721),
    "tenths": np.arange(-179.95, 180, 0.1),
    "tenths in float32": np.arange(-179.95, 180, 0.1).astype("f4"),
    "linspace in float32": np.linspace(0, 1, 50).astype("f4"),
    "accumulated": np.cumsum(np.full(1000, 0.1)),
    "metres": 5_000_005.0 - 10.0 * np.arange(512),
    "thirds": np.arange(100) / 3,
    "days": np.arange("2000", "2010", dtype="M8[D]").astype("M8[ns]"),
    "integers": np.arange(0, 36500, 365),
    "big-endian": np.arange(64, dtype=">i4"),
}


@pytest.mark.parametrize("name", REGULAR)
def test_regular_coordinates_take_two_dozen_bytes(name):
    assert round_trip(REGULAR[name]) <= 26


def test_irregular_dates_are_coded_by_their_steps():
    rng = np.random.default_rng(0)
    days = np.cumsum(rng.choice([2, 3, 5], 300))
    times = np.datetime64("2017-01-01", "ns") + days.astype("m8[D]")
    assert round_trip(times) < 150
    times[7] = np.datetime64("NaT")
    assert round_trip(times) < 170


def test_a_ramp_with_one_bit_flipped_is_not_called_regular():
    values = np.linspace(0, 1, 100)
    values[40] = np.nextafter(values[40], 2)
    assert ramps.encode_ramp(values) is None
    round_trip(values)


def test_class_maps_are_smaller_than_deflate_makes_them():
    import zlib

    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 10, (20, 8, 8)).astype("u1")
    maps = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    maps[rng.random(maps.shape) < 0.01] = 3
    assert round_trip(maps) < 0.8 * len(zlib.compress(maps.tobytes(), 9))


def test_the_result_can_be_changed():
    for values in REGULAR.values():
        data, coder, params = sidecar.encode_array(values)
        back = sidecar.decode_array(data, coder, params, values.dtype, values.shape)
        back[0] = back[1]


ARRAYS = {
    "time": np.array(["2020-01-01", "2020-02-03", "NaT"], "M8[ns]"),
    "x": np.linspace(0, 1, 99),
    "scl": np.random.default_rng(2).integers(0, 5, (4, 9, 9)).astype("u1"),
    "name": np.array(["a", None], object),
    "crs": np.array(0, "i4"),
    "label": np.array(["one", "three"]),
}
FORMS = {
    name: ("object" if values.dtype.hasobject else values.dtype.str, values.shape)
    for name, values in ARRAYS.items()
}


def test_a_blob_holds_several_variables():
    blob, entries = sidecar.encode_blob(ARRAYS)
    back = sidecar.decode_blob(blob, entries, FORMS)
    assert list(back) == list(ARRAYS)
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(back[name], values)
        assert back[name].dtype == values.dtype
    assert sum(entry.nbytes for entry in entries) == len(blob)


def test_a_damaged_blob_is_refused_or_decodes_to_the_same_shapes():
    blob, entries = sidecar.encode_blob(ARRAYS)
    rng = np.random.default_rng(3)
    for _ in range(500):
        damaged = bytearray(blob)
        damaged[rng.integers(len(blob))] = rng.integers(256)
        try:
            back = sidecar.decode_blob(bytes(damaged), entries, FORMS)
        except ValueError:
            continue
        assert {name: values.shape for name, values in back.items()} == {
            name: values.shape for name, values in ARRAYS.items()
        }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (SidecarEntry(name="x", coder="raw", nbytes=4), "entries of 4 bytes"),
        (SidecarEntry(name="x", coder="raw", nbytes=8), "do not make"),
        (SidecarEntry(name="x", coder="future", nbytes=8), "'future'"),
        (SidecarEntry(name="x", coder="ramp", nbytes=8), "a ramp is"),
        (SidecarEntry(name="y", coder="raw", nbytes=8), "'y' is not described"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_entries_that_do_not_fit_are_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        sidecar.decode_blob(bytes(8), (entry,), {"x": ("<f8", (3,))})


def test_objects_that_cannot_be_kept_are_named_with_their_variable():
    with pytest.raises(TypeError, match=r"variable 'bad': builtins\.object"):
        sidecar.encode_blob({"bad": np.array([object()], object)})

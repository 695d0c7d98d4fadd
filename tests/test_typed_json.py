"""What attributes and encodings hold comes back with its types, through any JSON library."""

import datetime as dt
import json
import math
import sys
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from strategies import plain_dtypes

from xvcomp.typed_json import pack_json, unpack_json


def same(a, b):
    """Equal in type and value, recursively; NaN by its bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.dtype.str != b.dtype.str or a.shape != b.shape:
            return False
        if a.dtype.hasobject:
            return same(a.reshape(-1).tolist(), b.reshape(-1).tolist())
        return a.tobytes() == b.tobytes()
    if isinstance(a, np.generic) and not isinstance(a, np.str_ | np.bytes_):
        # Long doubles have padding of any content.
        wide = a.dtype.kind in "fc" and a.dtype.itemsize > 8
        return a.dtype == b.dtype and (a == b if wide else a.tobytes() == b.tobytes())
    if isinstance(a, float):
        return a.hex() == b.hex()
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dt.datetime | dt.time):
        return a == b and a.fold == b.fold and a.utcoffset() == b.utcoffset()
    return bool(a == b)


def through_json(value):
    packed = pack_json(value)
    text = json.dumps(packed, allow_nan=False)
    assert same(msgspec.json.decode(msgspec.json.encode(packed)), packed)
    return unpack_json(json.loads(text))


texts = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    ["$tuple", "$", "NaN", "\ud800", "", "\0"]
)
arrays = npst.arrays(plain_dtypes, npst.array_shapes(min_dims=0, min_side=0, max_side=3))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    texts,
    st.binary(max_size=8),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.dates(),
    st.timedeltas(),
    arrays,
    plain_dtypes,
    npst.from_dtype(np.dtype("f4")),
    npst.from_dtype(np.dtype("M8[ns]")),
    npst.from_dtype(np.dtype("i8")),
)
keys = texts | st.integers() | st.tuples(texts, st.integers())
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(values)
def test_whatever_attributes_hold_comes_back_with_its_types(value):
    assert same(through_json(value), value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset({"a"}),
        np.str_("a\0"),
        np.str_(""),
        np.bytes_(b"a\0"),
        np.bool_(True),
        np.float16(1.5),
        np.longdouble("1.1"),
        np.zeros((2, 0), "U0"),
        np.array([b"abc", b"d"], "V3"),
        np.array([(1, 2.5)], [("a", ">i2"), ("b", "f8")]),
        np.array([["a", None], [1.5, b"x"]], object),
        np.array([[1], (2,)], object),
        np.datetime64("NaT", "D"),
        np.timedelta64(5, "25s"),
        np.array(["x", "long string"], np.dtypes.StringDType()),
        np.dtypes.StringDType(na_object=None),
        np.dtype({"names": ["a"], "formats": ["i4"], "offsets": [4], "itemsize": 12}),
        np.dtype((np.int16, (2, 3))),
        str,
        object,
        float,
        np.float32,
        dt.time(1, 2, 3, 4, fold=1),
        dt.datetime(2020, 10, 25, 1, tzinfo=ZoneInfo("UTC")),
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
        {"$tuple": [1]},
        {"a": {"$x": 1, "b": 2}},
        [-0.0, math.inf, -math.inf, math.nan, np.float64(-math.nan)],
        2**63,
        -(10**40),
    ],
    ids=repr,
)
def test_unusual_values_come_back(value):
    assert same(through_json(value), value)


def test_common_attributes_are_written_as_themselves():
    attrs = {"units": "m", "scale": 0.1, "n": 3, "flags": [1, 2], "none": None, "ok": True}
    assert pack_json(attrs) == attrs


def test_small_number_arrays_stay_readable():
    assert pack_json(np.array([1, 2, 4], "u1")) == {"$array": ["|u1", [3], [1, 2, 4]]}


def test_a_dtype_keeps_its_metadata():
    dtype = np.dtype("u1", metadata={"enum": {"cloud": 1}})
    assert through_json(dtype).metadata == {"enum": {"cloud": 1}}


def test_unpacked_arrays_are_the_users_to_change():
    array = through_json(np.array([1.5, np.nan]))
    array[0] = 3


def test_cftime_dates_come_back():
    cftime = pytest.importorskip("cftime")
    for value in (
        cftime.DatetimeNoLeap(2001, 2, 28, 5, 6, 7, 8),
        cftime.Datetime360Day(2001, 2, 30),
        cftime.datetime(2001, 2, 28, calendar="standard"),
        cftime.DatetimeGregorian(-5, 1, 1, has_year_zero=True),
    ):
        back = through_json(value)
        assert type(back) is type(value)
        assert back == value
        assert back.calendar == value.calendar
        assert back.has_year_zero == value.has_year_zero


def test_codecs_that_xarray_keeps_in_encodings_come_back():
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    from zarr.codecs import numcodecs as wrapped

    encoding = {
        "compressors": (zarr.codecs.ZstdCodec(level=3), zarr.codecs.BloscCodec(typesize=4)),
        "serializer": zarr.codecs.BytesCodec(),
        "filters": (numcodecs.Blosc("lz4"), numcodecs.VLenUTF8(), wrapped.Delta(dtype="<f4")),
        "chunks": (4, 5),
        "shards": None,
        "fill_value": np.float32(np.nan),
    }
    back = through_json(encoding)
    for codec, original in zip(back["compressors"], encoding["compressors"], strict=True):
        assert type(codec) is type(original)
        assert codec.to_dict() == original.to_dict()
    assert back["serializer"] == encoding["serializer"]
    assert back["filters"] == encoding["filters"]
    assert back["chunks"] == (4, 5)


def test_packing_plain_values_imports_no_codec_package():
    before = set(sys.modules)
    pack_json({"a": [1, np.float32(2)]})
    assert set(sys.modules) == before


def test_what_cannot_be_kept_is_named_with_its_path():
    with pytest.raises(TypeError, match=r"builtins\.slice at \['a'\]\[1\]"):
        pack_json({"a": [1, slice(2)]})


class Text(str):
    """A subclass, which would come back as a plain str."""


def test_subclasses_are_refused_rather_than_changed():
    with pytest.raises(TypeError, match="Text"):
        pack_json(Text("a"))


@pytest.mark.parametrize(
    "packed",
    [
        {"$future": 1},
        {"$tuple": [1], "b": 2},
        {"$int": "x"},
        {"$int": None},
        {"$bytes": "not base64!"},
        {"$array": ["<i4", [2], "AAAA"]},
        {"$array": ["<i4", [3], [1, 2]]},
        {"$array": ["<i4", [-1], [1]]},
        {"$array": ["no dtype", [1], [1]]},
        {"$array": []},
        {"$scalar": ["<f4"]},
        {"$dtype": {}},
        {"$dtype": {"fields": 3}},
        {"$type": "os.system"},
        {"$type": "numpy.ndarray"},
        {"$datetime": ["2020-13-01T00:00:00", 0]},
        {"$cftime": ["date2num", [1], "standard", False]},
        {"$codec": ["zarr", {"name": "no such codec"}]},
        {"$codec": ["numcodecs", {"id": "no such codec"}]},
        {"$dict": [[1]]},
        {"$dict": [[[], 1]]},
    ],
    ids=str,
)
def test_damaged_values_are_refused_cleanly(packed):
    with pytest.raises(ValueError, match=r"\w"):
        unpack_json(packed)

"""Corrections keep their bound everywhere, lossless is equal to the bit, damage is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from xvcomp import residual
from xvcomp.residual import integers, predictors

INTEGERS = [np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)]
FLOATS = [np.dtype(name) for name in ("f2", "f4", "f8")]
quick = settings(deadline=None, max_examples=100)


def int_pairs(dtype):
    shape = st.shared(npst.array_shapes(max_dims=2, max_side=6), key="shape")
    info = np.iinfo(dtype)
    edge = st.sampled_from([info.min, info.min + 1, 0, 1, info.max - 1, info.max])
    elements = st.integers(info.min, info.max) | edge
    return st.tuples(*(npst.arrays(dtype, shape, elements=elements) for _ in range(2)))


@quick
@given(st.data(), st.sampled_from(INTEGERS), st.floats(0, 1e19))
def test_integers_stay_within_the_bound_even_at_the_extremes(data, dtype, bound):
    stored, base = data.draw(int_pairs(dtype))
    step = residual.integer_step(bound)
    k = residual.correct_integer(stored, base, step)
    back = residual.apply_integer(base, k, step, vmin=float(stored.min()), vmax=float(stored.max()))
    assert back.dtype == dtype
    errors = [abs(int(a) - int(b)) for a, b in zip(stored.flat, back.flat, strict=True)]
    assert max(errors) <= bound


@quick
@given(st.data(), st.sampled_from(INTEGERS), st.integers(1, 2**53 - 1))
def test_unclipped_integers_stay_within_half_a_step(data, dtype, step):
    stored, base = data.draw(int_pairs(dtype))
    back = residual.apply_integer(base, residual.correct_integer(stored, base, step), step)
    errors = [abs(int(a) - int(b)) for a, b in zip(stored.flat, back.flat, strict=True)]
    assert max(errors) <= step // 2


def test_integers_of_either_byte_order_are_corrected():
    stored, base = np.array([1, 300], ">i2"), np.array([9, -300], ">i2")
    for step in (1, 5):
        back = residual.apply_integer(base, residual.correct_integer(stored, base, step), step)
        assert back.dtype == stored.dtype
        assert np.abs(back - stored).max() <= step // 2


def test_the_widest_integer_step_is_used():
    assert [residual.integer_step(b) for b in (0, 0.99, 1, 2.5)] == [1, 1, 3, 5]
    assert float(residual.integer_step(math.inf)) == residual.integer_step(math.inf)
    with pytest.raises(ValueError, match="nan"):
        residual.integer_step(math.nan)


def test_corrections_of_mixed_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"int16.*int32"):
        residual.correct_integer(np.zeros(2, "i2"), np.zeros(2, "i4"), 1)


def float_arrays(dtype, shape):
    # Hypothesis mixes denormals, huge values, -0.0, infinities and NaN in.
    return npst.arrays(dtype, shape, elements=st.floats(width=8 * dtype.itemsize))


@quick
@given(st.data(), st.sampled_from(FLOATS), st.floats(1e-320, 1e300), st.floats(1e-320, 1e300))
def test_floats_stay_within_the_bound_whatever_the_base(data, dtype, bound, step):
    shape = data.draw(npst.array_shapes(max_dims=2, max_side=6))
    values = data.draw(float_arrays(dtype, shape))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    base = data.draw(npst.arrays("f8", shape, elements=finite))
    found = residual.correct_float(values, base, step, bound)
    found = residual.decode_float(residual.encode_float(found), shape, dtype)
    back = residual.apply_float(base, found, step)
    assert back.dtype == dtype
    exact = values.view(f"u{dtype.itemsize}") == back.view(f"u{dtype.itemsize}")
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(values.astype("f8") - back.astype("f8")) <= bound
    assert (exact | near).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4, 1e12])
def test_a_step_from_the_bound_needs_hardly_any_exceptions(dtype, scale):
    rng = np.random.default_rng(3)
    with np.errstate(over="ignore"):
        values = (scale * rng.normal(0, 1, (20, 500))).astype(dtype)
    assume_finite = np.isfinite(values).all()
    if not assume_finite or not np.abs(values).max() > 0:
        pytest.skip("outside the dtype's range")
    largest = float(np.abs(values).max())
    bound = 4 * float(np.spacing(dtype.type(largest)))
    step = residual.float_step(bound, largest, dtype)
    base = values.astype("f8") + rng.normal(0, 20 * bound, values.shape)
    found = residual.correct_float(values, base, step, bound)
    back = residual.apply_float(base, found, step)
    assert np.abs(values.astype("f8") - back.astype("f8")).max() <= bound
    assert found.positions.size <= values.size / 100


def test_a_bound_below_the_spacing_asks_for_lossless():
    assert residual.float_step(1e-9, 300.0, np.dtype("f4")) == 0
    assert 0 < residual.float_step(1e-3, 300.0, np.dtype("f4")) < 2e-3


def test_samples_that_are_not_valid_cost_nothing():
    values = np.array([np.nan, 1.0, np.inf], "f4")
    found = residual.correct_float(values, np.zeros(3), 0.2, 0.1, valid=np.isfinite(values))
    assert found.positions.size == 0
    np.testing.assert_array_equal(found.k, [0, 5, 0])


def test_a_pointwise_bound_holds_for_each_sample():
    values = np.geomspace(1e-3, 1e3, 200)
    base = np.round(values)
    found = residual.correct_float(values, base, 0.01, 0.01 * values)
    back = residual.apply_float(base, found, 0.01)
    assert (np.abs(back - values) <= 0.01 * values).all()


@pytest.mark.parametrize("name", ["?", "i1", ">u2", "i8", "f2", ">f4", "f8", "M8[ns]", "m8[s]"])
def test_bit_corrections_are_exact_for_any_bits(name):
    dtype, rng = np.dtype(name), np.random.default_rng(0)
    values, base = (np.frombuffer(rng.bytes(4096), dtype).reshape(4, -1) for _ in range(2))
    if name == "?":
        values, base = rng.random((2, 4, 99)) < 0.5
    for against in (None, base):
        k = residual.correct_bits(values, against)
        back = residual.apply_bits(k, dtype, against)
        assert back.dtype == dtype
        assert back.tobytes() == values.tobytes()


def test_bit_corrections_of_neighbouring_floats_are_small():
    values = np.array([1.0, -1.0, 0.0, -1e-45], "f4")
    away = np.nextafter(values, np.float32(np.inf))
    np.testing.assert_array_equal(residual.correct_bits(away, values)[:2], [1, 1])


ints = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)


@quick
@given(npst.arrays(np.int64, npst.array_shapes(min_side=0, max_side=40), elements=ints))
def test_integers_survive_coding(k):
    np.testing.assert_array_equal(residual.decode_ints(residual.encode_ints(k), k.shape), k)


@pytest.mark.parametrize("share", [0, 0.0005, 0.01, 0.3, 1])
def test_sparse_integers_cost_little_more_than_their_entropy(share):
    rng = np.random.default_rng(1)
    k = np.where(rng.random(100_000) < share, rng.integers(-2, 3, 100_000), 0)
    payload = residual.encode_ints(k)
    np.testing.assert_array_equal(residual.decode_ints(payload, k.shape), k)
    counts = np.unique(k, return_counts=True)[1] / k.size
    entropy_bytes = -(counts * np.log2(counts)).sum() * k.size / 8
    assert len(payload) <= 1.1 * entropy_bytes + 64


def test_zeros_cost_one_byte():
    assert len(residual.encode_ints(np.zeros((12, 4, 64, 64), np.int64))) == 1


def test_contexts_pay_where_samples_differ_in_scale():
    rng = np.random.default_rng(2)
    contexts = (rng.random(50_000) < 0.5).astype(np.uint8) * 7
    k = np.rint(rng.normal(0, np.where(contexts > 0, 100, 1))).astype(np.int64)
    payload = residual.encode_ints(k, contexts=contexts)
    assert len(payload) < 0.95 * len(residual.encode_ints(k))
    back = residual.decode_ints(payload, k.shape, contexts=contexts)
    np.testing.assert_array_equal(back, k)
    with pytest.raises(ValueError, match="contexts"):
        residual.decode_ints(payload, k.shape)


def test_contexts_of_few_samples_do_no_harm():
    contexts = np.arange(200).astype(np.uint8)
    k = np.arange(200)
    payload = residual.encode_ints(k, contexts=contexts)
    np.testing.assert_array_equal(residual.decode_ints(payload, (200,), contexts=contexts), k)


@quick
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_packets_come_apart_again(payloads):
    assert residual.unpack(residual.pack(payloads)) == payloads


plain = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    npst.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    npst.datetime64_dtypes(endianness="?"),
    npst.timedelta64_dtypes(endianness="?"),
    npst.byte_string_dtypes(min_len=1, max_len=4),
    npst.unicode_string_dtypes(endianness="?", min_len=1, max_len=4),
)


def round_trip(values):
    payload = residual.encode_lossless(values)
    back = residual.decode_lossless(payload, values.shape, values.dtype)
    assert back.dtype == values.dtype
    assert back.shape == values.shape
    assert back.tobytes() == values.tobytes()
    return len(payload)


@quick
@given(npst.arrays(plain, npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)))
def test_arrays_of_any_dtype_come_back_bit_for_bit(values):
    round_trip(values)


@pytest.mark.parametrize("name", ["f2", "f4", "f8", "c8", "V7", "g"])
def test_arbitrary_bits_come_back(name):
    dtype, rng = np.dtype(name), np.random.default_rng(5)
    round_trip(np.frombuffer(rng.bytes(300 * dtype.itemsize), dtype).reshape(3, 10, 10))


@pytest.mark.parametrize("special", [np.nan, -0.0, np.inf, -np.inf])
def test_special_values_cost_little(special):
    rng = np.random.default_rng(6)
    values = np.round(np.cumsum(rng.normal(0, 1, (5, 40, 40)), axis=2), 2).astype("f4")
    smooth = round_trip(values)
    values[:, 5:12, 3:30] = special
    assert round_trip(values) < 1.05 * smooth + 100


@pytest.mark.parametrize(
    ("make", "bits"),
    [
        (lambda k: (k / 100).astype("f4"), 4.5),
        (lambda k: k / 1000, 4.5),
        (lambda k: k * 0.125, 4.5),
        (lambda k: (k / 64).astype("f2").astype("f8"), 5.5),
        (lambda k: (k * 10).astype("i4"), 4.5),
    ],
    ids=["decimal", "decimal in float64", "dyadic", "half floats", "multiples"],
)
def test_integers_in_disguise_are_coded_as_integers(make, bits):
    rng = np.random.default_rng(7)
    k = 500 + np.cumsum(rng.integers(-4, 5, (10, 64, 64)), axis=0)
    values = make(k)
    assert 8 * round_trip(values) / values.size < bits


@pytest.mark.parametrize(("y", "x"), [(2, 2), (3, 1), (1, 4), (6, 6)])
def test_repeated_pixels_are_coded_once(y, x):
    rng = np.random.default_rng(11)
    coarse = rng.integers(0, 4000, (4, 21, 17)).astype("u2")
    fine = coarse.repeat(y, axis=1).repeat(x, axis=2)
    once = round_trip(coarse)
    assert round_trip(fine) <= once + 8
    assert round_trip(fine[:, : fine.shape[1] - y + 1, : fine.shape[2] - x + 1]) <= once + 8


def test_smooth_fields_are_predicted_along_the_axes_that_pay():
    t, y, x = np.meshgrid(np.arange(12), np.arange(64), np.arange(64), indexing="ij")
    values = (1000 * np.sin(x / 30) + 500 * np.cos(y / 20 + t / 9)).astype("i2")
    assert 8 * round_trip(values) / values.size < 2


def test_every_set_of_axes_is_undone_exactly():
    codes = np.random.default_rng(8).integers(0, 256, (3, 4, 5)).astype("u1")
    for axes in predictors.axis_subsets(codes.shape):
        back = predictors.undo_difference(predictors.difference(codes, axes), axes)
        np.testing.assert_array_equal(back, codes)


def _payloads():
    rng = np.random.default_rng(9)
    ints = np.where(rng.random(3000) < 0.03, rng.integers(-9, 9, 3000), 0)
    noise = rng.integers(-500, 500, 3000)
    classes = np.repeat(rng.integers(0, 5, (6, 10, 10)), 5, axis=2).astype("u1")
    floats = np.round(rng.normal(0, 1, (6, 10, 50)), 2).astype("f4")
    floats[0, :4] = np.nan
    wide = rng.choice(rng.integers(0, 2**40, 20), 3000)
    tough = residual.correct_float(rng.normal(0, 1, 3000), np.zeros(3000), 0.1, 0.049)
    yield "sparse", residual.encode_ints(ints), lambda p: residual.decode_ints(p, (3000,))
    yield "noise", residual.encode_ints(noise), lambda p: residual.decode_ints(p, (3000,))
    twice = classes.repeat(2, axis=1)
    arrays = {"classes": classes, "floats": floats, "palette": wide, "repeated": twice}
    for name, values in arrays.items():
        decode = _decoder(values.shape, values.dtype)
        yield name, residual.encode_lossless(values), decode
    dtype = np.dtype("f8")
    corrected = residual.encode_float(tough)
    yield "correction", corrected, lambda p: residual.decode_float(p, (3000,), dtype)
    yield "packet", residual.pack([b"abc", b"defg"]), residual.unpack


def _decoder(shape, dtype):
    return lambda payload: residual.decode_lossless(payload, shape, dtype)


@pytest.mark.parametrize(
    ("name", "payload", "decode"), list(_payloads()), ids=lambda v: str(v)[:12]
)
def test_damaged_payloads_are_refused_or_decode_to_something_of_the_shape(name, payload, decode):
    rng = np.random.default_rng(10)
    decode(payload)
    for trial in range(300):
        damaged = bytearray(payload)
        for _ in range(1 + trial % 3):
            # Headers matter most, and lie in front.
            end = min(len(damaged), (8, 64, len(damaged))[trial % 3])
            damaged[rng.integers(end)] = rng.integers(256)
        cut = rng.integers(len(damaged)) if trial % 5 == 0 else len(damaged)
        try:
            decode(bytes(damaged[:cut]))
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("name", "payload", "decode"), list(_payloads()), ids=lambda v: str(v)[:12]
)
def test_cut_payloads_are_refused(name, payload, decode):
    for end in (0, 1, len(payload) // 2, len(payload) - 1):
        with pytest.raises(ValueError, match=r"\w"):
            decode(payload[:end])


def test_a_payload_of_another_size_is_refused():
    payload = residual.encode_ints(np.random.default_rng(0).integers(-99, 99, 1000))
    for size in (999, 1001, 0):
        with pytest.raises(ValueError, match=r"samples|bytes"):
            residual.decode_ints(payload, (size,))


def test_objects_are_refused():
    with pytest.raises(TypeError, match="object"):
        residual.encode_lossless(np.array([None]))


def test_pcodec_errors_become_value_errors():
    with pytest.raises(ValueError, match="pcodec cannot decode"):
        integers.pco_decode(b"nonsense", 3, np.dtype("i4"))

"""Corrections keep their bound everywhere, lossless is equal to the bit, damage is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from strategies import plain_dtypes

from xvcomp import residual
from xvcomp.residual import integers, predictors

INTEGERS = [np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)]
FLOATS = [np.dtype(name) for name in ("f2", "f4", "f8")]
quick = settings(deadline=None, max_examples=100)


def test_the_widest_integer_step_is_used():
    assert [residual.integer_step(b) for b in (0, 0.99, 1, 2.5)] == [1, 1, 3, 5]
    assert float(residual.integer_step(math.inf)) == residual.integer_step(math.inf)
    with pytest.raises(ValueError, match="nan"):
        residual.integer_step(math.nan)


def test_a_bound_below_the_spacing_asks_for_lossless():
    assert residual.float_step(1e-9, 300.0, np.dtype("f4")) == 0
    assert 0 < residual.float_step(1e-3, 300.0, np.dtype("f4")) < 2e-3


def smooth_cube(shape, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    t, b, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    field = 50 * np.sin(x / 7 + t / 5) + 30 * np.cos(y / 9 - b) + 3 * b
    return field + rng.normal(0, noise, shape) if noise else field


def decode_like(payload, values, steps, rounded, valid=None):
    return residual.decode_pyramid(payload, values.shape, steps, rounded=rounded, valid=valid)


SHAPES = [(1, 1, 1, 1), (1, 1, 1, 9), (2, 1, 9, 1), (3, 2, 7, 5), (5, 4, 13, 32), (40, 1, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("noise", [0, 4])
def test_a_pyramid_keeps_half_a_step_and_decodes_to_what_the_encoder_saw(shape, noise):
    values = smooth_cube(shape, noise)
    steps = [0.25 * (band + 1) for band in range(shape[1])]
    payload, seen = residual.encode_pyramid(values, steps, rounded=[False] * shape[1])
    back = decode_like(payload, values, steps, [False] * shape[1])
    assert back.tobytes() == seen.tobytes()
    half = np.array(steps)[:, None, None] / 2
    assert (np.abs(back - values) <= half * (1 + 1e-9)).all()


@pytest.mark.parametrize("step", [1, 3, 21])
def test_a_pyramid_of_integers_gives_integers_and_with_step_1_the_same_ones(step):
    values = np.rint(smooth_cube((6, 2, 20, 30), 4)) * 100 - 70000
    payload, _ = residual.encode_pyramid(values, [step] * 2, rounded=[True] * 2)
    back = decode_like(payload, values, [step] * 2, [True] * 2)
    np.testing.assert_array_equal(back, np.rint(back))
    assert np.abs(back - values).max() <= step // 2


def test_samples_that_do_not_count_cost_nothing():
    values = smooth_cube((8, 1, 48, 48))
    valid = np.ones(values.shape, bool)
    valid[:, :, 10:30] = False
    noisy = np.where(valid, values, np.random.default_rng(1).normal(0, 1e4, values.shape))
    plain, _ = residual.encode_pyramid(values, [0.1], rounded=[False])
    masked, seen = residual.encode_pyramid(noisy, [0.1], rounded=[False], valid=valid)
    assert len(masked) < 1.3 * len(plain)
    assert np.abs(seen - values)[valid].max() <= 0.05 * (1 + 1e-9)
    back = decode_like(masked, values, [0.1], [False], valid)
    assert back.tobytes() == seen.tobytes()


def test_a_second_band_that_follows_the_first_is_cheap():
    one = smooth_cube((8, 1, 64, 64), 5)
    both = np.concatenate([one, 0.5 * one + 100], axis=1)
    alone, _ = residual.encode_pyramid(one, [0.1], rounded=[False])
    together, _ = residual.encode_pyramid(both, [0.1, 0.1], rounded=[False] * 2)
    assert len(together) < 1.4 * len(alone)


def test_a_pyramid_beats_the_entropy_of_what_differs_from_frame_to_frame():
    values = smooth_cube((24, 1, 64, 64), 0.1)
    payload, _ = residual.encode_pyramid(values, [0.2], rounded=[False])
    steps = np.diff(np.rint(values / 0.2), axis=0)
    share = np.unique(steps, return_counts=True)[1] / steps.size
    assert 8 * len(payload) / values.size < -0.8 * (share * np.log2(share)).sum()


@quick
@given(npst.arrays("f8", (2, 1, 3, 4), elements=st.floats(-1e9, 1e9)), st.floats(1e-3, 1e6))
def test_a_pyramid_of_anything_finite_keeps_its_bound(values, step):
    payload, seen = residual.encode_pyramid(values, [step], rounded=[False])
    assert decode_like(payload, values, [step], [False]).tobytes() == seen.tobytes()
    assert np.abs(seen - values).max() <= step / 2 + 1e-5


@quick
@given(npst.arrays(np.int64, (2, 3, 4), elements=st.integers(-(2**31), 2**31 - 1)))
def test_a_lattice_comes_back_but_for_what_does_not_count(k):
    valid = k % 3 != 0
    back = residual.decode_lattice(residual.encode_lattice(k), k.shape)
    np.testing.assert_array_equal(back, k)
    masked = residual.encode_lattice(k, valid=valid)
    back = residual.decode_lattice(masked, k.shape, valid=valid)
    np.testing.assert_array_equal(back[valid], k[valid])


def test_powers_of_two_are_those_of_numpy_to_the_last_places():
    exponents = np.random.default_rng(2).uniform(-900, 900, 10_000)
    np.testing.assert_allclose(residual.exp2(exponents), np.exp2(exponents), rtol=4e-16 * 4)
    np.testing.assert_array_equal(residual.exp2(np.arange(-5.0, 6)), 2.0 ** np.arange(-5, 6))


@quick
@given(st.data(), st.sampled_from(INTEGERS + FLOATS))
def test_exceptions_come_back_to_the_bit_and_nothing_else_changes(data, dtype):
    values = np.frombuffer(data.draw(st.binary(min_size=80, max_size=80)), dtype)
    where = data.draw(npst.arrays(bool, values.shape))
    back = np.zeros_like(values)
    residual.decode_exceptions(residual.encode_exceptions(values, where), back)
    assert back[where].tobytes() == values[where].tobytes()
    assert not back[~where].any()


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


@quick
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_packets_come_apart_again(payloads):
    assert residual.unpack(residual.pack(payloads)) == payloads


def round_trip(values):
    payload = residual.encode_lossless(values)
    back = residual.decode_lossless(payload, values.shape, values.dtype)
    assert back.dtype == values.dtype
    assert back.shape == values.shape
    assert back.tobytes() == values.tobytes()
    return len(payload)


@quick
@given(npst.arrays(plain_dtypes, npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)))
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
    field = smooth_cube((5, 2, 12, 17), 1)
    steps, floating = [0.5, 0.5], [False, False]
    yield "sparse", residual.encode_ints(ints), lambda p: residual.decode_ints(p, (3000,))
    yield "noise", residual.encode_ints(noise), lambda p: residual.decode_ints(p, (3000,))
    twice = classes.repeat(2, axis=1)
    arrays = {"classes": classes, "floats": floats, "palette": wide, "repeated": twice}
    for name, values in arrays.items():
        decode = _decoder(values.shape, values.dtype)
        yield name, residual.encode_lossless(values), decode
    pyramid, _ = residual.encode_pyramid(field, steps, rounded=floating)
    yield "pyramid", pyramid, lambda p: decode_like(p, field, steps, floating)
    lattice = residual.encode_lattice(noise.reshape(3, 1000))
    yield "lattice", lattice, lambda p: residual.decode_lattice(p, (3, 1000))
    exceptions = residual.encode_exceptions(noise, noise > 450)
    yield "exceptions", exceptions, lambda p: residual.decode_exceptions(p, noise.copy())
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
    for end in (1, len(payload) // 2, len(payload) - 1):
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

"""Every quality number, defined once; nothing here depends on what is installed.

All results merge with ``+``, so that a cube is measured frame by frame in constant
memory. A sample counts when ``valid`` says so and its reference is finite. A decoded
value that is not finite there counts as an infinite error: it never passes a check.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._error_stats import (
    ErrorStats,
    Mean,
    RelativeError,
    check_shapes,
    difference,
    psnr_db,
    valid_samples,
)

__all__ = [
    "ErrorStats",
    "Mean",
    "RelativeError",
    "bpppb",
    "dssim",
    "gradient_error",
    "index_error",
    "power_spectrum_error",
    "psnr_db",
    "ratio",
    "spectral_angle",
    "ssim_frame",
]

Array = NDArray[Any]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

_SSIM_WINDOW = 7
# Power below this share of the reference's strongest bin counts as none: -120 dB.
_SPECTRUM_FLOOR = 1e-12


def bpppb(nbytes: int, samples: int) -> float:
    """Bits per pixel per band; ``samples`` counts all elements, valid or not."""
    if samples < 1 or nbytes < 0:
        raise ValueError(f"need at least one sample, got {nbytes} bytes of {samples} samples")
    return 8 * nbytes / samples


def ratio(raw_nbytes: int, coded_nbytes: int) -> float:
    """Compression ratio: bytes in memory over bytes coded."""
    if coded_nbytes < 1 or raw_nbytes < 0:
        raise ValueError(f"need coded bytes, got {raw_nbytes} raw and {coded_nbytes} coded")
    return raw_nbytes / coded_nbytes


def dssim(ssim: float) -> float:
    """Structural dissimilarity, ``(1 - ssim) / 2``: 0 for equal frames."""
    return (1 - ssim) / 2


def ssim_frame(
    reference: Array,
    decoded: Array,
    valid: Bool | None,
    data_range: float,
    *,
    offset: float = 0.0,
) -> Mean:
    """Structural similarity of one frame.

    Parameters
    ----------
    reference, decoded : ndarray, shape (y, x)
    valid : ndarray of bool, shape (y, x), or None
    data_range : float
        The peak, as for PSNR; not negative.
    offset : float
        Subtracted from both. SSIM compares means with the range, so kelvin and degrees
        Celsius differ; the smallest value of the whole set makes them agree.

    Returns
    -------
    Mean
        Sum of the SSIM map over valid pixels whose window lies inside the frame.

    Notes
    -----
    Uniform 7x7 windows (the largest odd size that fits, if smaller; frames under three
    rows or columns count nothing), K1 = 0.01, K2 = 0.03, sample covariance: on a frame
    without gaps it is scikit-image's default. Under invalid pixels both sides take the
    mean of the valid reference, so gaps neither add nor hide error. With a range of
    0, a pixel counts 1 if it is equal and 0 if not.

    References
    ----------
    Wang et al., "Image quality assessment", IEEE TIP 13(4), 2004.
    """
    _check_frame(reference, decoded, valid)
    ref, dec, mask = _gap_free(reference, decoded, valid, offset)
    size = min(_SSIM_WINDOW, *ref.shape)
    size -= 1 - size % 2
    border = size // 2
    inside = mask[border : ref.shape[0] - border, border : ref.shape[1] - border]
    if size < 3 or not inside.any():
        return Mean()
    if data_range == 0:
        similarity = (ref == dec).astype(np.float64)
    elif not np.isfinite(dec).all():
        similarity = np.zeros_like(ref)
    else:
        from skimage import metrics

        structural_similarity: Any = metrics.structural_similarity

        _, similarity = structural_similarity(
            ref, dec, win_size=size, data_range=data_range, full=True
        )
    inner = similarity[border : ref.shape[0] - border, border : ref.shape[1] - border]
    return Mean(float(inner[inside].sum()), int(inside.sum()))


def spectral_angle(reference: Array, decoded: Array, valid: Bool | None = None) -> Mean:
    """Mean angle between the spectra of pixels, in radians.

    Parameters
    ----------
    reference, decoded : ndarray, shape (..., band, y, x)
    valid : ndarray of bool, same shape, or None

    Notes
    -----
    Only pixels that are valid in all bands and whose reference is not all zero count. A
    decoded zero vector is at a right angle; one that is not finite is opposite.
    """
    check_shapes(reference, decoded, valid)
    if reference.ndim < 3:
        raise ValueError(f"need (..., band, y, x), got shape {reference.shape}")
    mask = valid_samples(reference, valid).all(axis=-3) & (reference != 0).any(axis=-3)
    ref, dec = (
        _unit(np.moveaxis(array, -3, -1)[mask].astype(np.float64)) for array in (reference, decoded)
    )
    # Kahan's form: arccos of a product loses all digits of small angles.
    apart = np.linalg.norm(ref - dec, axis=-1)
    angle = 2 * np.arctan2(apart, np.linalg.norm(ref + dec, axis=-1))
    angle[np.isnan(angle)] = np.pi
    return Mean(float(angle.sum()), int(mask.sum()))


def index_error(
    ref_a: Array, ref_b: Array, dec_a: Array, dec_b: Array, valid: Bool | None = None
) -> ErrorStats:
    """Error of the normalised difference index ``(a - b) / (a + b)``, such as NDVI.

    Parameters
    ----------
    ref_a, ref_b, dec_a, dec_b : ndarray, same shape
        Near infrared and red for NDVI, in units that start at zero reflectance.
    valid : ndarray of bool, same shape, or None

    Returns
    -------
    ErrorStats
        In index units. Samples where ``|a + b| <= 1e-6 (|a| + |b|)``, in the reference
        or as decoded, have no index and are skipped; ``n_valid`` says how many remain.
    """
    for other in (ref_b, dec_a, dec_b):
        check_shapes(ref_a, other, valid)
    reference, defined = _index(ref_a, ref_b)
    decoded, decodable = _index(dec_a, dec_b)
    mask = valid_samples(ref_a, valid) & np.isfinite(ref_b) & defined & decodable
    return ErrorStats.of(reference, decoded, mask)


def gradient_error(reference: Array, decoded: Array, valid: Bool | None = None) -> RelativeError:
    """Relative RMS error of the spatial gradient.

    Differences between neighbours along y and x, both of them valid; the RMS of their
    errors over the RMS of the reference's.

    Parameters
    ----------
    reference, decoded : ndarray, shape (..., y, x)
    valid : ndarray of bool, same shape, or None
    """
    check_shapes(reference, decoded, valid)
    if reference.ndim < 2:
        raise ValueError(f"need (..., y, x), got shape {reference.shape}")
    mask = valid_samples(reference, valid)
    ref = np.where(mask, reference, 0).astype(np.float64)
    error = np.where(mask, difference(decoded, reference), 0.0)
    result = RelativeError()
    for axis in (-2, -1):
        pairs = np.logical_and(*_neighbours(mask, axis))
        with np.errstate(over="ignore", invalid="ignore"):
            slopes = [np.subtract(*_neighbours(array, axis))[pairs] for array in (error, ref)]
            # Two infinite errors side by side differ by NaN.
            squares = [float(np.nan_to_num(s * s, nan=np.inf, posinf=np.inf).sum()) for s in slopes]
        result += RelativeError(squares[0], squares[1], int(pairs.sum()))
    return result


def power_spectrum_error(reference: Array, decoded: Array, valid: Bool | None = None) -> Mean:
    """Mean absolute difference of radial power spectra of one frame, in dB.

    Parameters
    ----------
    reference, decoded : ndarray, shape (y, x)
    valid : ndarray of bool, shape (y, x), or None

    Returns
    -------
    Mean
        Over the frequency bins. Blur and added noise show here, and in which bin.

    Notes
    -----
    Gaps take the mean of the valid reference on both sides; the reference's mean is
    subtracted from both, and a Hann window applied. Powers are averaged over rings of
    frequency, ``min(y, x) // 2`` of equal width up to the Nyquist limit. Powers under
    1e-12 of the reference's strongest ring count as that. Frames under four rows or
    columns, and constant ones, count nothing.
    """
    _check_frame(reference, decoded, valid)
    mask = valid_samples(reference, valid)
    if min(reference.shape) < 4 or not mask.any():
        return Mean()
    ref, dec, _ = _gap_free(reference, decoded, valid, 0.0)
    mean = float(ref[mask].mean())
    if not (ref != ref[mask][0]).any():
        return Mean()
    n_rings = min(ref.shape) // 2
    if not np.isfinite(dec).all():
        return Mean(math.inf, n_rings)
    powers = [_radial_power(frame - mean, n_rings) for frame in (ref, dec)]
    floor = _SPECTRUM_FLOOR * powers[0].max()
    levels = [10 * np.log10(np.maximum(power, floor)) for power in powers]
    return Mean(float(np.abs(levels[1] - levels[0]).sum()), n_rings)


def _check_frame(reference: Array, decoded: Array, valid: Bool | None) -> None:
    """Refuse everything but frames of one size."""
    check_shapes(reference, decoded, valid)
    if reference.ndim != 2:
        raise ValueError(f"need one frame (y, x), got shape {reference.shape}")


def _gap_free(
    reference: Array, decoded: Array, valid: Bool | None, offset: float
) -> tuple[Float, Float, Bool]:
    """Give both sides the mean of the valid reference under invalid pixels."""
    mask = valid_samples(reference, valid)
    ref = np.where(mask, reference, 0).astype(np.float64) - offset
    gap = float(ref[mask].mean()) if mask.any() else 0.0
    return np.where(mask, ref, gap), np.where(mask, decoded - np.float64(offset), gap), mask


def _unit(vectors: Float) -> Float:
    """Scale vectors to length 1; zero vectors stay zero."""
    with np.errstate(invalid="ignore"):
        # Twice: the squares of very large or small components leave the range of floats.
        largest = np.abs(vectors).max(axis=-1, keepdims=True)
        scaled = vectors / np.where(largest == 0, 1, largest)
        length = np.linalg.norm(scaled, axis=-1, keepdims=True)
        unit: Float = scaled / np.where(length == 0, 1, length)
    return unit


def _index(a: Array, b: Array) -> tuple[Float, Bool]:
    """Normalised difference, and where it is defined."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    total = wide_a + wide_b
    undefined = np.abs(total) <= 1e-6 * (np.abs(wide_a) + np.abs(wide_b))
    return (wide_a - wide_b) / np.where(undefined, 1.0, total), ~undefined


def _neighbours(array: Array, axis: int) -> tuple[Array, Array]:
    """All samples but the first along an axis, and all but the last."""
    length = array.shape[axis]
    positions = np.arange(length)
    return array.take(positions[1:], axis=axis), array.take(positions[: length - 1], axis=axis)


def _radial_power(frame: Float, n_rings: int) -> Float:
    """Average the windowed power spectrum over rings of frequency, without the mean."""
    height, width = frame.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    power = np.abs(np.fft.fft2(frame * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    # Ring k is centred on k / (2 n) cycles per pixel; 0 is the mean, the corners are left out.
    ring = np.rint(radius * 2 * n_rings).astype(np.intp).ravel()
    sums = np.bincount(ring, power.ravel(), minlength=n_rings + 1)[1 : n_rings + 1]
    counts = np.bincount(ring, minlength=n_rings + 1)[1 : n_rings + 1]
    return sums / np.maximum(counts, 1)

"""Section 8.3 of ``xvcomp/docs/format.md``, written from that document alone."""

import math
from typing import Any

import numpy as np
from format_residuals import codes, ints, lattice, ordered_to, pyramid, unpack, varints
from format_wavelets import wavelets


def field(
    data: bytes,
    spec: dict[str, Any],
    counts: list[int],
    shape: tuple[int, ...],
    dtypes: list[np.dtype],
    valid: np.ndarray | None,
) -> np.ndarray:
    """Section 8.3, part 2."""
    steps = [step for step, n in zip(spec["steps"], counts, strict=True) for _ in range(n)]
    if spec["coder"] == "pyramid":
        whole = [spec["kind"] == "linear" and dtype.kind in "iu" for dtype in dtypes]
        rounded = [each for each, n in zip(whole, counts, strict=True) for _ in range(n)]
        return pyramid(data, shape, steps, rounded, valid)
    if spec["coder"] == "wavelets":
        return wavelets(data, shape, steps)
    found, start = [], 0
    for part, count in zip(unpack(data), counts, strict=True):
        own = (shape[0], count, *shape[2:])
        if spec["coder"] == "plain":
            found.append(ints(part, math.prod(own)).reshape(own))
        else:
            kept = None if valid is None else valid[:, start : start + count]
            found.append(lattice(part, own, kept))
        start += count
    return np.concatenate(found, axis=1) * np.array(steps)[:, None, None]


def exp2(values: np.ndarray) -> np.ndarray:
    terms = [1.0]
    for n in range(1, 18):
        terms.append(terms[-1] * 0.6931471805599453 / n)
    values = np.clip(values, -1100, 1100)
    whole = np.rint(values)
    total = np.full(values.shape, terms[17])
    for n in range(16, -1, -1):
        total = total * (values - whole) + terms[n]
    with np.errstate(over="ignore"):
        return np.ldexp(total, whole.astype(int))


def except_samples(data: bytes, values: np.ndarray) -> None:
    if not data:
        return
    parts = unpack(data)
    (count,), _ = varints(parts[0], 1)
    places = np.cumsum(ints(parts[1], count) + 1) - 1
    exact = ints(parts[2], count).astype(f"u{values.dtype.itemsize}")
    values.reshape(-1)[places] = ordered_to(exact, values.dtype)


def corrected(
    data: bytes,
    spec: dict[str, Any],
    counts: list[int],
    dtypes: list[np.dtype],
    limits: list[tuple[float | None, float | None]],
    shape: tuple[int, ...],
    classes: np.ndarray | None,
    base: np.ndarray | None,
) -> list[np.ndarray]:
    """Section 8.3: the samples of each variable, special values apart."""
    signs_part, body, *exceptions = unpack(data)
    valid = None if classes is None or not classes.any() else classes == 0
    signs = None
    if spec["kind"] == "log":
        signs = codes(signs_part, shape, 1)
        valid = None if (signs != 0).all() else signs != 0
    values = field(body, spec, counts, shape, dtypes, valid)
    out, start = [], 0
    for number, count in enumerate(counts):
        own = slice(start, start + count)
        start += count
        part = values[:, own]
        if base is not None:
            below = base[:, own]
            part = part + (np.rint(below) if dtypes[number].kind in "iu" else below)
        if signs is not None:
            part = np.where(signs[:, own] == 0, 0.0, exp2(part))
            part = np.where(signs[:, own] == 2, -part, part)
        low, high = limits[number]
        part = part if low is None else np.clip(part, low, high)
        if dtypes[number].kind in "iu":
            limit = np.iinfo(dtypes[number])
            part = np.clip(np.rint(part), limit.min, limit.max)
        part = part.astype(dtypes[number])
        except_samples(exceptions[number], part)
        out.append(part)
    return out

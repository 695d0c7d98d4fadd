"""Section 8.5 of ``xvcomp/docs/format.md``, written from that document alone."""

import numpy as np
from format_residuals import Corrections, Weights, ints, lattice, unpack

SHORT = [0.7589077294536541, 0.41784910915027457, -0.04036797903033992]
SHORT += [-0.07872200106262882, 0.014467504896790148, 0.014426282505624435]
LONG = [0.8259229974584023, 0.4207962846098268, -0.09405920349573646, -0.07726317316720414]
LONG += [0.04973290349094079, 0.01193456527972926, -0.016990639867602342]
LONG += [-0.0019142861290887667, 0.0019088317364812906]
SIGNED = [-tap if k % 2 == 0 else tap for k, tap in enumerate(LONG)]


def joined(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    size = low.shape[-1] + high.shape[-1]
    z = np.empty((*low.shape[:-1], size))
    z[..., ::2], z[..., 1::2] = low, high

    def at(i: int) -> np.ndarray:
        while not 0 <= i < size:
            i = -i if i < 0 else 2 * (size - 1) - i
        return z[..., i]

    out = np.empty_like(z)
    for i in range(size):
        even, odd = (SHORT, SIGNED) if i % 2 == 0 else (SIGNED, SHORT)
        e, o = at(i) * even[0], np.zeros(z.shape[:-1])
        for d in range(1, 9):
            taps, is_even = (even, True) if d % 2 == 0 else (odd, False)
            if d < len(taps):
                term = (at(i - d) + at(i + d)) * taps[d]
                e, o = (e + term, o) if is_even else (e, o + term)
        out[..., i] = e + o
    return out


def wavelets(data: bytes, shape: tuple[int, ...], steps: list[float]) -> np.ndarray:
    """Section 8.5."""
    time, bands, y, x = shape
    parts = unpack(data)
    centres = ints(parts[0], bands)
    matrix = ints(parts[1], bands * bands).reshape(bands, bands)
    sizes: list[list[tuple[int, int]]] = []
    while min(y, x) >= 16 and len(sizes) < 6:
        sizes.insert(0, [(-(-y // 2), x // 2), (y // 2, -(-x // 2)), (y // 2, x // 2)])
        y, x = -(-y // 2), -(-x // 2)
    coarse = lattice(parts[2], (time, bands, y, x))
    found = details(parts[3], time, bands, sizes) if sizes else []

    def mixed(k: np.ndarray) -> np.ndarray:
        return np.einsum("bc,tcyx->tbyx", matrix, k) / 2.0**14

    frames = mixed(coarse)
    for level in found:
        along_x, along_y, both = (mixed(k) for k in level)
        upper, lower = joined(frames, along_x), joined(along_y, both)
        frames = joined(upper.swapaxes(2, 3), lower.swapaxes(2, 3)).swapaxes(2, 3)
    return (frames + centres[:, None, None]) * np.array(steps)[:, None, None]


def details(
    data: bytes, time: int, count: int, sizes: list[list[tuple[int, int]]]
) -> list[list[np.ndarray]]:
    packed = unpack(data)
    phases = [(0, 0), (1, 1), (0, 1), (1, 0)]
    every = [(y, x) for level in sizes for y, x in level]
    fits = count * sum(y > row and x > column for y, x in every for row, column in phases)
    weights, contexts = Weights(packed[0], fits), Corrections(packed[1])
    found = [[np.zeros((time, count, *size), np.int64) for size in level] for level in sizes]

    def root(k: np.ndarray) -> np.ndarray:
        return np.sqrt(np.abs(k)).astype("f4")

    for c in range(count):
        for level, directions in enumerate(sizes):
            for direction, (y, x) in enumerate(directions):
                own = found[level][direction][:, c]
                rows, columns = np.mgrid[:y, :x]

                def edge(roots: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
                    high, wide = roots.shape[1] - 1, roots.shape[2] - 1
                    return roots[:, np.clip(row, 0, high), np.clip(column, 0, wide)]

                def four(roots: np.ndarray, y=y, x=x, rows=rows, columns=columns) -> np.ndarray:
                    same = edge(roots, rows, columns)
                    beside = edge(same, rows, columns - 1) + edge(same, rows, columns + 1)
                    above, below = (edge(same, rows + n, columns) for n in (-1, 1))
                    return ((beside + above) + below) * np.float32(0.25)

                known = []
                if level:
                    parent = root(found[level - 1][direction][:, c])
                    known.append(edge(parent, rows // 2, columns // 2))
                others = [root(found[level][d][:, c]) for d in range(direction)]
                others += [root(found[level][direction][:, c - 1])] if c else []
                for other in others:
                    known += [edge(other, rows, columns), four(other)]
                for phase, (row, column) in enumerate(phases):
                    if row >= y or column >= x:
                        continue
                    wide = np.pad(root(own), [(0, 0), (1, 1), (1, 1)])
                    place = np.s_[:, row::2, column::2]

                    def at(dy: int, dx: int, wide=wide, place=place, y=y, x=x) -> np.ndarray:
                        return wide[:, 1 + dy : 1 + dy + y, 1 + dx : 1 + dx + x][place]

                    features = [each[place] for each in known]
                    if phase > 1:
                        features.append((at(0, -1) + at(0, 1)) * np.float32(0.5))
                        features.append((at(-1, 0) + at(1, 0)) * np.float32(0.5))
                    if phase in (1, 3):
                        diagonal = ((at(-1, -1) + at(-1, 1)) + at(1, -1)) + at(1, 1)
                        features.append(diagonal * np.float32(0.25))
                    features.append(np.ones(own[place].shape, "f4"))
                    n = len(features)
                    kind = (level > 0, direction == 2, phase, n)
                    expected = np.zeros(own[place].shape)
                    for weight, feature in zip(
                        weights.next(kind, [round(1024 / n)] * n), features, strict=True
                    ):
                        if weight:
                            expected = expected + feature * np.float32(weight / 1024)
                    own[place] = contexts.take(expected.reshape(-1)).reshape(expected.shape)
    return found

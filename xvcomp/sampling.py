"""Random windows of cubes, for training: numpy arrays without end, or as many as wanted.

With PyTorch, one seed per worker makes every worker draw windows of its own::

    class Windows(torch.utils.data.IterableDataset):
        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            seed = 0 if info is None else info.id
            window = {"time": 8, "y": 64, "x": 64}
            for sample in xvcomp.samples("cube.mp4", window, seed=seed):
                yield {name: torch.from_numpy(values) for name, values in sample.items()}

    loader = torch.utils.data.DataLoader(Windows(), batch_size=16, num_workers=4)
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .errors import PlanError
from .opening import open_source

__all__ = ["samples"]


def samples(
    source: Any,
    window: Mapping[str, int],
    *,
    variables: Sequence[str] | None = None,
    count: int | None = None,
    reuse: int = 4,
    seed: int = 0,
    cache_bytes: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, NDArray[Any]]]:
    """Draw random windows from a cube file.

    Parameters
    ----------
    source : path, URL or binary file
    window : Mapping[str, int]
        Size along each dim that is to be cut; other dims come whole.
    variables : sequence of str, optional
        Only these; by default all data variables that have the window's dims.
    count : int, optional
        Windows to draw; ``None`` never ends.
    reuse : int
        Windows that are drawn from each stretch of time before the next is decoded.
        A higher number is faster and less random.
    seed : int
        Equal seeds give equal windows.
    cache_bytes : int, optional
        Decoded bytes to keep; by default all open files share 256 MiB.
    storage_options : Mapping, optional
        Handed to fsspec, for URLs.

    Yields
    ------
    dict of str to ndarray
        Copies, decoded by the CF conventions.

    Raises
    ------
    PlanError
        If a dim or a variable is not there, or a window does not fit.
    """
    if reuse < 1:
        raise PlanError(f"reuse must be at least 1, got {reuse}")
    with open_source(source, cache_bytes=cache_bytes, storage_options=storage_options) as cube:
        chosen = _chosen(cube, window, variables)
        drawn = _positions(cube, window, _frame_dims(chosen), reuse, np.random.default_rng(seed))
        for position in itertools.islice(drawn, count):
            yield {name: values.isel(position).values.copy() for name, values in chosen.items()}


def _chosen(
    cube: xr.Dataset, window: Mapping[str, int], variables: Sequence[str] | None
) -> dict[str, xr.Variable]:
    for dim, size in window.items():
        if dim not in cube.sizes:
            raise PlanError(
                f"there is no dim {dim!r}; the cube has {', '.join(map(str, cube.sizes))}"
            )
        if not 1 <= size <= cube.sizes[dim]:
            raise PlanError(f"a window of {size} does not fit into {cube.sizes[dim]} along {dim!r}")
    fitting = [str(name) for name, v in cube.data_vars.items() if set(window) <= set(v.dims)]
    missing = [name for name in variables or () if name not in fitting]
    if missing or not fitting:
        what = f"no variable {missing[0]!r}" if missing else "no variable"
        raise PlanError(f"there is {what} with the dims {', '.join(window)}")
    return {name: cube[name].variable for name in variables or fitting}


def _frame_dims(chosen: Mapping[str, xr.Variable]) -> set[str]:
    """Return the dims along which whole stretches are decoded at once."""
    dims = set()
    for variable in chosen.values():
        chunks = variable.encoding.get("preferred_chunks", {})
        dims |= {str(dim) for dim, size in chunks.items() if size < variable.sizes[dim]}
    return dims


def _positions(
    cube: xr.Dataset,
    window: Mapping[str, int],
    slow: set[str],
    reuse: int,
    rng: np.random.Generator,
) -> Iterator[dict[str, slice]]:
    """Draw starts; those of slow dims stay for a few windows, which the cache then serves."""
    while True:
        held = {dim: _start(cube.sizes[dim], window[dim], rng) for dim in window if dim in slow}
        for _ in range(reuse):
            starts = {
                dim: held[dim] if dim in held else _start(cube.sizes[dim], window[dim], rng)
                for dim in window
            }
            yield {dim: slice(start, start + window[dim]) for dim, start in starts.items()}


def _start(length: int, size: int, rng: np.random.Generator) -> int:
    return int(rng.integers(0, length - size + 1))

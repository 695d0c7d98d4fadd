"""How a cube inside of a dataset is named: ``data.tacozip::cube_0001`` or as GDAL does it.

GDAL's way, ``/vsisubfile/<offset>_<nbytes>,<file>``, is what other TACO readers return. It
says where the cube lies, so that nothing has to be looked up.
"""

import re
from pathlib import Path

from ..abc import ByteRange

__all__ = ["from_vsi", "split_member", "to_vsi"]

_VSI = re.compile(r"/vsisubfile/(\d+)_(\d+),(.+)", re.DOTALL)
_SCHEMES = {
    "/vsis3/": "s3://",
    "/vsigs/": "gs://",
    "/vsiaz/": "az://",
    "/vsioss/": "oss://",
    "/vsicurl/": "",
}


def split_member(text: str) -> tuple[str, str] | None:
    """Split ``<dataset>::<id>``; ``None`` for anything else, fsspec's chains among it.

    Examples
    --------
    >>> split_member("https://host/data.tacozip::cube_0001")
    ('https://host/data.tacozip', 'cube_0001')
    >>> split_member("zip://cube.mp4::https://host/cubes.zip")
    """
    dataset, mark, member = text.rpartition("::")
    if not mark or not dataset or not member or "://" in member:
        return None
    known = dataset.rstrip("/").endswith((".tacozip", ".tacocat"))
    return (dataset, member) if known or "://" in dataset or Path(dataset).exists() else None


def from_vsi(text: str) -> tuple[str, ByteRange] | None:
    """Read GDAL's way; returns the file and where in it, or ``None`` for anything else."""
    found = _VSI.fullmatch(text)
    if found is None:
        return None
    offset, nbytes, name = found.groups()
    for prefix, scheme in _SCHEMES.items():
        if name.startswith(prefix):
            name = scheme + name.removeprefix(prefix)
    # Making a path absolute, as xarray does, turns two slashes into one.
    name = re.sub(r"^(https?):/(?!/)", r"\1://", name)
    return name, ByteRange(int(offset), int(nbytes))


def to_vsi(name: str, place: ByteRange) -> str:
    """Write GDAL's way; URLs that GDAL does not know stay as they are."""
    for prefix, scheme in _SCHEMES.items():
        if scheme and name.startswith(scheme):
            name = prefix + name.removeprefix(scheme)
    if name.startswith(("http://", "https://")):
        name = f"/vsicurl/{name}"
    elif "://" not in name and not name.startswith("/vsi"):
        name = str(Path(name).absolute())
    return f"/vsisubfile/{place.offset}_{place.nbytes},{name}"

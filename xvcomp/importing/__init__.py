"""Archives of the package xarrayvideo -> Datasets, cube files and datasets of cubes.

xarrayvideo keeps a cube as a folder: Matroska files with three channels each, whose tag
``XARRAY`` says what they hold, and ``x.nc`` with everything else. Its published datasets
put such folders into TACO files of version 1, archives within archives.
"""

from .converting import Imported, import_xarrayvideo
from .cubes import SeedCube, find_cubes

__all__ = ["Imported", "SeedCube", "find_cubes", "import_xarrayvideo"]

"""Write the frozen files of format version 1: ``python tests/data/v1/make.py FOLDER``.

A file that a released version has written is never written again: later encoders make other
bytes. New kinds are added beside the old ones.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.reliability.corpus import KINDS, described, encoded


def main(folder: Path) -> None:
    """Write what is not there yet."""
    for kind in KINDS:
        path = folder / f"{kind}.mp4"
        if path.exists():
            sys.stdout.write(f"{path.name} is there already: kept\n")
            continue
        path.write_bytes(encoded(kind))
        text = json.dumps(described(path), indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

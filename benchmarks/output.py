"""What the benchmarks print and keep."""

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["write_json"]


def write_json(found: Any, path: Path | None) -> None:
    """Print results, and keep them in a file if one is named."""
    text = json.dumps(found, indent=1) + "\n"
    sys.stdout.write(text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

"""Files of released format versions decode, for ever, to exactly the values they held."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.reliability.corpus import KINDS, described
from xvcomp.reading import CubeFile

FROZEN = Path(__file__).parent / "data" / "v1"


@pytest.mark.parametrize("path", sorted(FROZEN.glob("*.mp4")), ids=lambda path: path.stem)
def test_a_frozen_file_decodes_to_exactly_what_it_held(path):
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert described(path) == expected


def test_every_kind_of_file_is_frozen():
    assert {path.stem for path in FROZEN.glob("*.mp4")} == set(KINDS)
    assert sum(path.stat().st_size for path in FROZEN.iterdir() if path.is_file()) < 150_000


@pytest.mark.parametrize(
    ("kind", "field"), [("filtered", "post_filter"), ("interpolated", "interpolation")]
)
def test_frozen_files_hold_what_they_are_kept_for(kind, field):
    with closing(CubeFile(FROZEN / f"{kind}.mp4")) as file:
        assert all(getattr(group, field) for group in file.manifest.groups)


def test_the_frozen_wavelets_are_wavelets():
    with closing(CubeFile(FROZEN / "wavelets.mp4")) as file:
        assert [group.residual and group.residual.coder for group in file.manifest.groups] == [
            "wavelets"
        ]

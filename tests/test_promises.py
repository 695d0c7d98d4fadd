"""The benchmark of promises: windows, counting, and what it remembers."""

import json
import math
import sys

import pytest

from benchmarks import promises


@pytest.mark.parametrize(
    ("reached", "status"),
    [
        ([45.0], "hit"),
        ([45.25, 45.1], "hit"),
        ([45.26, 45.1], "above"),
        ([44.99, 45.1], "below"),
        ([math.inf], "above"),
    ],
)
def test_a_psnr_is_hit_when_all_sets_are_inside_the_window(reached, status):
    assert promises.psnr_status(reached, 45.0) == status


@pytest.mark.parametrize(
    ("bpppb", "status"), [(0.1, "hit"), (0.095, "hit"), (0.094, "above"), (0.1001, "below")]
)
def test_a_size_is_hit_from_95_percent_up_to_the_target(bpppb, status):
    assert promises.size_status(bpppb, 0.1) == status


def test_it_measures_a_folder_and_keeps_what_it_has(crop, tmp_path, monkeypatch, capsys):
    out = tmp_path / "promises.json"
    words = ["promises", "--out", str(out), "--data", str(crop.parent), "--preset", "fast"]
    words += ["--psnr", "40", "--bpppb", "0.001"]
    monkeypatch.setattr(sys, "argv", words)
    promises.main()
    assert "median_encodes" in capsys.readouterr().out
    found = json.loads(out.read_text())
    near, tiny = found["outcomes"]
    assert near["status"] in ("hit", "above")
    assert near["encodes"] >= 1
    assert min(near["reached"].values()) >= 40
    assert tiny["status"] == "unreachable"
    assert found["summary"]["reachable"] == 1
    monkeypatch.setattr(promises, "measure", lambda *_: pytest.fail("measured again"))
    promises.main()
    assert json.loads(out.read_text())["outcomes"] == found["outcomes"]

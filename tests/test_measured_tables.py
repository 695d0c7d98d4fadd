"""The tables of the documents are those of the committed results."""

import json
import shutil

import pytest

from benchmarks.tables import DOCUMENTS, PRESETS, ROOT, TABLES, rewritten


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_tables_are_up_to_date(path):
    text = path.read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert text == rewritten(text), "run `python -m benchmarks.tables`"


def test_every_table_is_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in text] == []


def test_a_changed_result_changes_its_table(tmp_path):
    results = tmp_path / "benchmarks" / "access" / "results"
    shutil.copytree(ROOT / "benchmarks" / "access" / "results", results)
    measured = json.loads((results / "gops.json").read_text())
    measured[0]["rows"][0]["frame_ms"] = 1234.5
    (results / "gops.json").write_text(json.dumps(measured))
    old = "before\n<!-- table: gops -->\nold\n<!-- end: gops -->\nafter\n"
    new = rewritten(old, tmp_path)
    assert "1234.5" in new
    assert "old" not in new
    assert new.startswith("before\n")
    assert new.endswith("<!-- end: gops -->\nafter\n")


def test_tables_without_results_are_left_alone(tmp_path):
    text = "<!-- table: presets -->\nnot measured yet\n<!-- end: presets -->\n"
    assert rewritten(text, tmp_path) == text


def test_speeds_that_were_not_measured_have_no_column(tmp_path):
    (tmp_path / PRESETS).parent.mkdir(parents=True)
    preset = {"bd_rate_mean": -12.34, "bd_rate": {"t2m": -10}}
    (tmp_path / PRESETS).write_text(json.dumps({"presets": {"fast": preset}}))
    text = rewritten("<!-- table: presets -->\n<!-- end: presets -->\n", tmp_path)
    assert "| preset | BD-rate (mean) | cubes |\n" in text
    assert "| fast | -12.3 % | 1 |\n" in text


def test_presets_are_written_as_they_were_measured(tmp_path):
    numbers = {"encode_msamples_per_s": 8.13, "encode_vs_seed": 1.51, "decode_msamples_per_s": 40}
    preset = {"bd_rate_mean": -12.34, "bd_rate": {"t2m": -10, "s1": -14}, **numbers}
    (tmp_path / PRESETS).parent.mkdir(parents=True)
    (tmp_path / PRESETS).write_text(json.dumps({"presets": {"fast": preset}}))
    text = rewritten("<!-- table: presets -->\n<!-- end: presets -->\n", tmp_path)
    assert "| fast | -12.3 % | 2 | 8.13 | 1.51 | 40.00 |" in text

"""The table of presets is computed from measured curves and speeds, and from nothing else."""

import json

import pytest

from benchmarks.presets import presets_table
from benchmarks.rate_distortion.points import Point, Results
from benchmarks.rate_distortion.speed import ratios


def _curve(coder: str, factor: float) -> list[Point]:
    return [
        Point(
            cube="s1", coder=coder, setting={"quality_db": db}, versions={}, nbytes=1,
            bpppb=factor * 2 ** ((db - 30) / 6), psnr_db=float(db), peak=1.0, max_error=0.0,
            encode_s=1.0, decode_s=1.0, samples=10,
        )
        for db in (30, 36, 42, 48)
    ]  # fmt: skip


def test_bd_rates_are_percents_of_the_recipes_rate(tmp_path):
    for file, coder, factor in (
        ("baselines", "seed", 1.0),
        ("xvcomp_fast", "xvcomp-fast", 0.8),
        ("xvcomp_balanced", "xvcomp-balanced", 0.7),
        ("xvcomp_best", "xvcomp-best", 0.5),
    ):
        results = Results(points={}, runs=[])
        for point in _curve(coder, factor):
            results.add(point)
        results.write(tmp_path / f"{file}.json")
    speeds = {"encode_msamples_per_s": 4.0, "decode_msamples_per_s": 20.0}
    row = {"cube": "s1", "seed": {key: each / 2 for key, each in speeds.items()}}
    row |= {f"xvcomp-{preset}": speeds for preset in ("fast", "balanced", "best")}
    speed = {"vs_seed": ratios([row]), "rows": [row]}
    (tmp_path / "speed.json").write_text(json.dumps(speed))
    table = presets_table(tmp_path)
    assert table["fast"]["bd_rate"] == {"s1": pytest.approx(-20.0, abs=0.1)}
    assert table["best"]["bd_rate_mean"] == pytest.approx(-50.0, abs=0.1)
    assert table["balanced"]["encode_vs_seed"] == pytest.approx(2.0)
    assert table["balanced"]["decode_msamples_per_s"] == pytest.approx(20.0)
    assert table["balanced"]["speed_cubes"] == 1

"""The page of a sweep: complete in itself, and alive in a browser."""

import base64
import io
import re
import subprocess

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import xvcomp
from xvcomp.report import png, svg

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--window-size=1200,2800", "--virtual-time-budget=3000",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    rng = np.random.default_rng(5)
    t, y, x = np.meshgrid(*map(np.arange, (8, 40, 60)), indexing="ij")
    values = 280 + np.sin(t / 3 + y / 9) + np.cos(x / 7) + 0.05 * rng.standard_normal(t.shape)
    values[:, 5:15, 10:20] = np.nan
    dims = ("time", "y", "x")
    cube = xr.Dataset(
        {
            "sst": (dims, values.astype("f4"), {"units": "K"}),
            "salt & </script>": (dims, (values / 8).astype("f4"), {"units": "g <kg>"}),
        }
    )
    folder = tmp_path_factory.mktemp("page")
    return xvcomp.sweep(cube, folder, codecs=["libx265"], presets=["fast"], qualities=[35, 45])


def test_the_page_needs_nothing_from_elsewhere(page):
    text = page.report.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)[^"']""", text)
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert "url(" not in text


def test_the_page_shows_every_point_and_the_command_that_makes_it(page):
    text = page.report.read_text(encoding="utf-8")
    for point in page.points:
        assert text.count(f'data-key="{point.key}"') >= 3
        assert f"{point.bpppb:.4f} bpppb" in text
    commands = [re.sub("<.*?>", "", code) for code in re.findall("<code>(.*?)</code>", text)]
    assert commands == [point.command for point in page.front]


def chromium(require_tool, tmp_path, page, *arguments):
    program = require_tool("chromium")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    return subprocess.run(
        [program, *FLAGS, profile, *arguments, page.as_uri()],
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout.decode()


def test_a_browser_runs_the_page(require_tool, tmp_path, page):
    dom = chromium(require_tool, tmp_path, page.report, "--dump-dom")
    assert 'data-ready="true"' in dom
    shown = re.search(r'data-shown="(\w+) sst"', dom)
    assert shown is not None
    assert shown.group(1) in {point.key for point in page.points}
    for name in ("original", "decoded", "error"):
        assert re.search(rf'<img id="{name}"[^>]*src="data:image/png;base64,', dom), name
    assert re.search(r'id="histogram"><svg', dom)
    assert dom.count("<circle class=") == 3 * len(page.points)


def test_hovering_and_choosing_work(require_tool, tmp_path, page):
    """A script in the page does what a hand would do."""
    script = """<script>
      const last = Array.from(document.querySelectorAll(".dot")).pop();
      last.dispatchEvent(new MouseEvent("mouseenter"));
      document.body.dataset.tip = document.getElementById("tip").textContent;
      document.getElementById("variable").selectedIndex = 1;
      last.dispatchEvent(new MouseEvent("click"));
      document.querySelector(".legend button").click();
    </script></body>"""
    copy = tmp_path / "copy.html"
    copy.write_text(page.report.read_text(encoding="utf-8").replace("</body>", script))
    dom = chromium(require_tool, tmp_path, copy, "--dump-dom")
    point = page.points[-1]
    assert f"{point.psnr_db:.2f} dB" in re.search(r'data-tip="([^"]*)"', dom).group(1)
    assert f'data-shown="{point.key} salt &amp; &lt;/script&gt;"' in dom
    assert dom.count('class="dot off"') + dom.count('class="dot front off"') + dom.count(
        " chosen off"
    ) == 3 * len(page.points)


def test_the_page_is_drawn(require_tool, tmp_path, page):
    picture = tmp_path / "page.png"
    chromium(require_tool, tmp_path, page.report, f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape == (2800, 1200, 3)
    blue = (np.abs(pixels - (0x00, 0x72, 0xB2)).sum(axis=-1) < 12).sum()
    assert blue > 200, "the lines of libx265 are not there"
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 300, "no frame was drawn"


def test_png_pictures_hold_the_values(tmp_path):
    values = np.linspace(0.0, 1.0, 12).reshape(3, 4)
    values[1, 2] = np.nan
    uri = png.data_uri(values, 0.0, 1.0, png.SEQUENTIAL)
    image = Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))
    assert image.size == (4, 3)
    codes = np.asarray(image)
    assert codes[1, 2] == 0
    assert (codes[0, 0], codes[2, 3]) == (1, 255)
    assert np.asarray(image.convert("RGB"))[0, 0].tolist() == list(png.SEQUENTIAL[0])


def test_plots_place_dots_where_their_values_are():
    dots = tuple(svg.Dot(x=x, y=y, key=str(x), text="<t>") for x, y in ((0.1, 30), (1, 50)))
    line = svg.Series(name="a", colour="#123456", dash="", dots=dots)
    text = svg.line_plot([line], "rate (bpppb)", "PSNR (dB)", log_x=True)
    first, second = (
        (float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', text)
    )
    assert first[0] < second[0]
    assert first[1] > second[1]
    assert "&lt;t&gt;" in text
    assert ">rate (bpppb)<" in text
    assert ">PSNR (dB)<" in text


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("values", [(), (3.0,), (2.0, 2.0), (float("nan"), float("inf"))])
def test_plots_of_little_or_nothing_are_drawn_all_the_same(values, log):
    dots = tuple(svg.Dot(x=v, y=v, key="k", text="t") for v in values)
    line = svg.Series(name="a", colour="#123456", dash="", dots=dots)
    text = svg.line_plot([line], "x", "y", log_x=log, log_y=log)
    finite = [v for v in values if np.isfinite(v)]
    assert text.count("<circle") == len(finite)
    assert "nan" not in text


@pytest.mark.parametrize(("low", "high"), [(0.19, 0.73), (0.6, 1.5), (0.001, 900.0), (2, 2.4)])
def test_axes_have_some_ticks_but_not_too_many(low, high):
    dots = tuple(svg.Dot(x=v, y=v, key="k", text="t") for v in (low, high))
    line = svg.Series(name="a", colour="#123456", dash="", dots=dots)
    for log in (True, False):
        text = svg.line_plot([line], "x", "y", log_x=log, log_y=log)
        assert 3 <= text.count('class="tick"') / 2 <= 10


def test_ticks_are_round_and_numbers_are_short():
    assert [svg.number(v) for v in (0.1, 0.02, 5.0, 300.0, 1e-7, 2e8)] == [
        "0.1", "0.02", "5", "300", "1e-07", "2e+08",
    ]  # fmt: skip
    assert svg.histogram([0, 1, 1000], 0.5, "K").count("<rect") == 2

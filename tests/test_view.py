"""The viewer's page: complete in itself, safe with hostile names, and alive in a browser."""

import base64
import re
import zlib

import numpy as np
import pytest
import xarray as xr
from browser import Browser, chromium
from click.testing import CliRunner
from PIL import Image

import xvcomp
from xvcomp.errors import PlanError
from xvcomp.previews import colours
from xvcomp.previews.channels import channels_of
from xvcomp.viewer.budget import fit_budget
from xvcomp.viewer.packing import pack_errors, pack_values
from xvcomp_cli.main import cli

DIMS = ("time", "y", "x")
HOSTILE = '</script><img src=x onerror="document.body.dataset.owned=1"><b>&amp;'
N, HEIGHT, WIDTH = 12, 20, 30


def dates(n):
    return np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(5, "D")


def field():
    """A field whose value says where and when it is."""
    t, y, x = np.meshgrid(*map(np.arange, (N, HEIGHT, WIDTH)), indexing="ij")
    return (100 * t + y + x / 100).astype("f8")


@pytest.fixture(scope="module")
def pair():
    original = xr.Dataset(
        {
            "sst": (DIMS, field(), {"units": "K"}),
            HOSTILE: (DIMS, field() / 2, {"units": "<i>g</i>", "long_name": HOSTILE}),
            "SCL": (DIMS, np.ones((N, HEIGHT, WIDTH), "u1"), {"flag_values": [0, 1]}),
        },
        coords={"time": dates(N), "x": 10.0 * np.arange(WIDTH)},
        attrs={"title": HOSTILE},
    )
    original.sst[3, :5] = np.nan
    decoded = original.copy(deep=True)
    decoded.sst[4] += 0.5
    decoded.sst[4, 10:] -= 1.0
    return original, decoded


@pytest.fixture(scope="module")
def page(pair, tmp_path_factory):
    original, decoded = pair
    path = tmp_path_factory.mktemp("page") / "page.html"
    xvcomp.view(decoded, path, reference=original)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(chromium(), tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def tab(browser, page):
    browser.resize(1280, 900)
    browser.open(page.as_uri())
    return browser


def shown(tab, name):
    wait = f"document.body.dataset.shown === {name!r}"
    tab.wait(wait)


def canvas(tab, name="decoded"):
    """Return the pixels of a canvas, shape (y, x, 4)."""
    size, data = tab.evaluate(
        f"(c => [[c.height, c.width], Array.from(c.getContext('2d')"
        f".getImageData(0, 0, c.width, c.height).data)])(document.getElementById({name!r}))"
    )
    return np.array(data).reshape(*size, 4)


def text(tab, selector):
    return tab.evaluate(f"document.querySelector({selector!r}).textContent")


def opened(browser, cube, folder, **keywords):
    """Open a cube's page; return what was written."""
    path = folder / "a.html"
    done = xvcomp.view(cube, path, **keywords)
    browser.resize(1280, 900)
    browser.open(path.as_uri())
    return done


def painted(values, low, high):
    """Return the colours of values, as the page should paint them."""
    code = np.rint(255 * np.clip((values - low) / (high - low), 0, 1)).astype(int)
    return colours.table(colours.SEQUENTIAL)[code].astype(int)


def texts_of_plot(tab):
    return tab.evaluate("[...document.querySelectorAll('#plot text')].map((e) => e.textContent)")


# ---- what is in the page -------------------------------------------------------------------


def unpack(packed):
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed.text)), np.uint8)
    high, low = planes.reshape(2, -1).astype(np.uint16)
    return np.cumsum((high << 8) + low, dtype=np.uint16)


def test_packed_values_come_back_within_half_a_step():
    values = np.random.default_rng(1).normal(250, 30, (3, 4, 5))
    values[1, 2] = np.nan
    packed = pack_values(values)
    codes = unpack(packed).reshape(values.shape)
    np.testing.assert_array_equal(codes == 0, np.isnan(values))
    step = (packed.high - packed.low) / 65533
    back = packed.low + (codes - 1.0) * step
    valid = codes > 0
    assert np.abs(back - values)[valid].max() <= step / 2 * 1.0001


def test_no_error_is_packed_as_no_error():
    errors = np.array([[[0.0, -3.0, 2.0, np.nan]]])
    packed = pack_errors(errors)
    assert unpack(packed).tolist() == [32768, 1, 32768 + 21845, 0]
    assert unpack(pack_errors(np.zeros((1, 1, 2)))).tolist() == [32768, 32768]


def test_the_page_needs_nothing_from_elsewhere(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"""<[^>]*(?:src|href)\s*=\s*["'](?!data:)[^"']""", text)
    assert "@import" not in text
    assert "url(" not in text
    assert "eval(" not in text
    assert "innerHTML" not in text
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}


def test_hostile_names_are_text_only(page):
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert text.count("</script>") == text.count("<script")


def test_a_cube_that_fits_is_kept_whole_and_a_larger_one_thinned():
    def budget(n, size, samples):
        cube = xr.Dataset({"a": (DIMS, np.broadcast_to(0.0, (n, size, size)))})
        return fit_budget(channels_of(cube), samples)

    whole = budget(10, 50, 25_000)
    assert (whole.stride, whole.max_frames, whole.notes) == (1, 10, ())
    large = budget(50, 1000, 1_000_000)
    assert large.stride > 1
    assert large.n_samples() <= 1_000_000
    assert large.notes[0].startswith(f"only every {large.stride}")
    long = budget(5000, 30, 1_000_000)
    assert long.stride == 1
    assert long.max_frames < 5000
    assert "of 5000 frames" in long.notes[0]


def test_the_page_keeps_to_its_size_and_says_what_is_missing(tmp_path):
    rng = np.random.default_rng(2)
    cube = xr.Dataset({"a": (DIMS, rng.random((20, 200, 200)))})
    done = xvcomp.view(cube, tmp_path / "a.html", max_nbytes=200_000)
    assert done.nbytes < 200_000 * 4 / 3 + 60_000
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "To keep this page small" in page
    assert all(note in page for note in done.notes)


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"variables": ["nope"]}, PlanError),
        ({"isel": {"time": 99}}, PlanError),
        ({"max_nbytes": 5}, PlanError),
        ({"reference": xr.Dataset({"other": (DIMS, np.zeros((N, HEIGHT, WIDTH)))})}, PlanError),
    ],
)
def test_what_cannot_be_shown_is_refused(pair, tmp_path, keywords, error):
    with pytest.raises(error):
        xvcomp.view(pair[0], tmp_path / "a.html", **keywords)
    assert list(tmp_path.iterdir()) == []


def test_all_levels_are_counted_and_named_apart():
    levels = xr.Dataset({"a": (("time", "level", "y", "x"), np.zeros((2, 100, 4, 4)))})
    found = channels_of(levels)
    assert (len(found), found[80].name) == (100, "a level 80")
    assert fit_budget(found, 10**6).notes == ("only 24 of 100 fields are here",)


@pytest.mark.parametrize(
    ("wavelengths", "names"),
    [
        ([1000000, 1000001], ["a wl 1000000", "a wl 1000001"]),
        ([1000000.0, 1000000.5], ["a wl 1000000", "a wl 1000000.5"]),
        (np.float32([0.1, 0.2]), ["a wl 0.1", "a wl 0.2"]),
        ([5, 5], ["a wl 5 [0]", "a wl 5 [1]"]),
        (["red", "red"], ["a red [0]", "a red [1]"]),
    ],
)
def test_no_two_fields_have_one_name(wavelengths, names):
    values = np.broadcast_to([[[0.0]], [[1.0]]], (3, 2, 4, 4))
    cube = xr.Dataset({"a": (("time", "wl", "y", "x"), values)}, coords={"wl": wavelengths})
    found = channels_of(cube)
    assert [each.name for each in found] == names
    assert [float(each.array.max()) for each in found] == [0.0, 1.0]


def test_dims_may_be_named_by_numbers(tmp_path):
    cube = xr.Dataset({"a": (("time", 7, 0, 1), np.zeros((3, 2, 8, 8)))})
    assert xvcomp.view(cube, tmp_path / "a.html").fields == ("a 7 0", "a 7 1")


@pytest.mark.parametrize(
    ("stride", "ordinal"), [(2, "2nd"), (3, "3rd"), (11, "11th"), (21, "21st"), (22, "22nd")]
)
def test_strides_are_written_as_ordinals(stride, ordinal):
    cube = xr.Dataset({"a": (DIMS, np.broadcast_to(0.0, (1, 48 * stride, 48 * stride)))})
    (note,) = fit_budget(channels_of(cube), 48 * 48).notes
    assert f"every {ordinal} row" in note


@pytest.mark.parametrize("name", ["page.mp4", "page", "page.nc"])
def test_only_pages_are_written(pair, tmp_path, name):
    with pytest.raises(PlanError, match=r"\.html"):
        xvcomp.view(pair[0], tmp_path / name)


def test_numbers_too_large_for_a_page_are_refused_by_name(tmp_path):
    values = np.array([-1e308, 1e308] * 96).reshape(3, 8, 8)
    with pytest.raises(PlanError, match=r"'a' has values up to 1e\+308"):
        xvcomp.view(xr.Dataset({"a": (DIMS, values)}), tmp_path / "a.html")


def test_pages_are_not_overwritten_unasked(pair, tmp_path):
    path = tmp_path / "a.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        xvcomp.view(pair[0], path)
    assert path.read_text() == "mine"
    assert xvcomp.view(pair[0], path, overwrite=True).nbytes > 1000


# ---- in a browser --------------------------------------------------------------------------


def test_it_opens_without_errors_requests_or_foreign_scripts(tab):
    assert tab.trouble() == []
    assert tab.evaluate("document.body.dataset.owned") is None
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    assert tab.evaluate("document.title") == HOSTILE
    assert text(tab, "#field option:nth-child(2)") == HOSTILE


def test_the_policy_keeps_injected_scripts_from_running(browser, page, tmp_path):
    copy = tmp_path / "copy.html"
    attack = "<script>document.body.dataset.owned = 1</script></body>"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", attack))
    browser.open(copy.as_uri())
    assert browser.evaluate("document.body.dataset.owned") is None
    assert any("Content Security Policy" in each for each in browser.trouble())


def test_the_first_frame_is_drawn_with_its_colours(tab, pair):
    pixels = canvas(tab)
    assert pixels.shape == (HEIGHT, WIDTH, 4)
    low, high = (
        float(tab.evaluate(f"document.getElementById({n!r}).value")) for n in ("low", "high")
    )
    expected = painted(pair[1].sst.values[0], low, high)
    assert np.abs(pixels[..., :3] - expected).max() <= 4


def test_keys_and_the_slider_go_through_time(tab):
    shown(tab, "sst 0")
    first = canvas(tab)
    tab.press("ArrowRight")
    shown(tab, "sst 1")
    assert text(tab, "#date") == "2020-01-06 (2 of 12)"
    assert (canvas(tab) != first).any()
    tab.press("ArrowLeft")
    tab.press("ArrowLeft")
    shown(tab, "sst 11")
    tab.choose("#frame", "5")
    shown(tab, "sst 5")
    assert text(tab, "#date").startswith("2020-01-26")
    tab.click("#forward")
    shown(tab, "sst 6")


def test_playing_moves_on_by_itself_until_it_is_stopped(tab):
    tab.press(" ")
    tab.wait("Number(document.getElementById('frame').value) >= 2")
    assert text(tab, "#play") == "Pause"
    tab.click("#play")
    at = tab.evaluate("document.getElementById('frame').value")
    tab.evaluate("new Promise((done) => setTimeout(done, 400))")
    assert tab.evaluate("document.getElementById('frame').value") == at


def test_missing_values_are_see_through_to_the_hatching(tab):
    tab.choose("#frame", "3")
    shown(tab, "sst 3")
    for name in ("original", "decoded", "error"):
        alpha = canvas(tab, name)[..., 3]
        assert (alpha[:5] == 0).all()
        assert (alpha[5:] == 255).all()


def test_the_error_map_has_the_sign_and_the_numbers_of_the_errors(tab):
    tab.choose("#frame", "4")
    shown(tab, "sst 4")
    pixels = canvas(tab, "error")
    assert (pixels[:10, :, 0] > pixels[:10, :, 2]).all(), "errors above zero are not red"
    assert (pixels[10:, :, 2] > pixels[10:, :, 0]).all(), "errors below zero are not blue"
    assert text(tab, "#error-facts") == "RMSE 0.5 K, largest 0.5 K"
    tab.choose("#frame", "0")
    shown(tab, "sst 0")
    assert text(tab, "#error-facts") == "RMSE 0 K, largest 0 K"
    assert (np.abs(canvas(tab, "error")[..., :3] - 250) < 4).all()


@pytest.mark.parametrize("panel", ["original", "decoded", "error"])
def test_a_click_shows_the_series_of_the_pixel(tab, pair, panel):
    row, column = 12, 7
    tab.choose("#frame", "4")
    shown(tab, "sst 4")
    tab.click(f"#{panel}", (column + 0.5) / WIDTH, (row + 0.5) / HEIGHT)
    original, decoded = (float(side.sst[4, row, column]) for side in pair)
    tab.wait("document.getElementById('readout').textContent.includes('x 70')")
    numbers = re.fullmatch(
        r"y 12, x 70; sst ([\d.]+) K, original ([\d.]+), error (-?[\d.]+)", text(tab, "#readout")
    )
    assert numbers, text(tab, "#readout")
    found = [float(number) for number in numbers.groups()]
    assert found == pytest.approx([decoded, original, decoded - original], abs=0.02)
    assert line(tab, "decoded")[4] > line(tab, "original")[4], "y runs downwards"
    tab.press("ArrowUp", shift=True)
    tab.wait("document.getElementById('readout').textContent.startsWith('y 11, x 70')")


def line(tab, name):
    """Return the heights of a line's points."""
    path = tab.evaluate(
        f"document.querySelector('#plot .line[data-name={name}]').getAttribute('d')"
    )
    return [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_the_series_rises_as_the_pixel_does_and_breaks_at_gaps(tab):
    tab.click("#decoded", 0.5, 0.075)
    tab.wait("document.getElementById('readout').textContent.startsWith('y 1,')")
    heights = line(tab, "decoded")
    assert len(heights) == N - 1
    assert heights == sorted(heights, reverse=True)
    path = tab.evaluate("document.querySelector('#plot .line').getAttribute('d')")
    assert path.count("M") == 2


def test_a_click_on_the_series_goes_to_that_time(tab):
    tab.click("#plot .hit", 0.999)
    shown(tab, f"sst {N - 1}")


def test_another_field_has_its_own_numbers_and_its_name_stays_text(tab, pair):
    tab.choose("#field", "1")
    shown(tab, f"{HOSTILE} 0")
    assert HOSTILE in text(tab, "#readout")
    assert tab.evaluate("document.body.dataset.owned") is None
    assert float(tab.evaluate("document.getElementById('high').value")) < 600
    assert tab.trouble() == []


def test_the_stretch_can_be_set_and_reset(tab, pair):
    before = canvas(tab)
    tab.choose("#low", "-20")
    tab.choose("#high", "20")
    tab.wait("document.querySelector('.scale.values').textContent === '-2020 K'")
    expected = painted(pair[1].sst.values[0], -20, 20)
    assert np.abs(canvas(tab)[..., :3] - expected).max() <= 4
    assert np.abs(before[..., :3] - expected).max() > 40
    tab.choose("#low", "9999")
    tab.click("#reset")
    tab.wait("Number(document.getElementById('high').value) > 1000")
    np.testing.assert_array_equal(canvas(tab), before)
    assert tab.trouble() == []


def test_setting_the_errors_range_leaves_the_values_stretch_alone(browser, tmp_path):
    values = 101325 + np.random.default_rng(3).normal(0, 2000, (2, 20, 30))
    cube = xr.Dataset({"a": (DIMS, values)})
    opened(browser, cube, tmp_path, reference=cube + 1)
    before = canvas(browser)
    browser.choose("#limit", "20")
    browser.wait("document.querySelector('.scale.errors').textContent.startsWith('-20')")
    np.testing.assert_array_equal(canvas(browser), before)


def test_bands_are_shown_as_colours_and_can_be_exchanged(browser, tmp_path):
    values = np.zeros((2, 4, 6))
    values[:, 3] = 1.0
    cube = {name: (DIMS, values.copy()) for name in ("B02", "B03", "B04", "B08")}
    cube["B04"][1][:, :, :2] = 1.0
    cube["B08"][1][:, :, 2:4] = 1.0
    path = tmp_path / "a.html"
    xvcomp.view(xr.Dataset(cube), path)
    browser.resize(1280, 900)
    browser.open(path.as_uri())
    shown(browser, "B04|B03|B02 0")
    assert text(browser, "#decoded-title") == "Frame"
    assert browser.evaluate("document.getElementById('original').offsetParent") is None
    red = [198, 0, 0, 255]  # two thirds of the range, which leaves room for clouds
    assert canvas(browser)[0, 0].tolist() == red
    assert canvas(browser)[0, 3].tolist() == [0, 0, 0, 255]
    browser.choose("#red", "3")
    shown(browser, "B08|B03|B02 0")
    assert canvas(browser)[0, 0].tolist() == [0, 0, 0, 255]
    assert canvas(browser)[0, 3].tolist() == red
    browser.choose("#mode", "field")
    shown(browser, "B02 0")
    assert browser.trouble() == []


def test_fields_of_another_grid_are_drawn_on_theirs(browser, tmp_path):
    cube = xr.Dataset(
        {
            "fine": (DIMS, np.arange(4 * 8 * 8.0).reshape(4, 8, 8)),
            "coarse": (("time", "y2", "x2"), np.arange(4 * 4 * 4.0).reshape(4, 4, 4)),
            "height": (("y", "x"), np.arange(64.0).reshape(8, 8)),
        }
    )
    path = tmp_path / "a.html"
    xvcomp.view(cube, path)
    browser.open(path.as_uri())
    browser.choose("#frame", "3")
    browser.click("#decoded", 0.99, 0.99)
    browser.choose("#field", "1")
    shown(browser, "coarse 3")
    assert canvas(browser).shape == (4, 4, 4)
    assert text(browser, "#readout").startswith("y2 3, x2 3; coarse 63")
    browser.choose("#field", "2")
    shown(browser, "height 0")
    assert browser.trouble() == []


@pytest.mark.parametrize(
    "values", [np.full((3, 5, 5), np.nan), np.full((1, 1, 1), 7.0), np.zeros((2, 1, 40))]
)
def test_empty_constant_and_tiny_fields_are_drawn(browser, tmp_path, values):
    path = tmp_path / "a.html"
    xvcomp.view(xr.Dataset({"a": (DIMS, values)}), path)
    browser.open(path.as_uri())
    assert browser.trouble() == []
    assert "NaN" not in browser.evaluate("document.getElementById('plot').outerHTML")
    assert (canvas(browser)[..., 3] == 0).all() == np.isnan(values).all()


@pytest.mark.parametrize(
    ("width", "height", "dark", "phone"),
    [(1280, 900, False, False), (1900, 1000, True, False), (390, 844, True, True)],
    ids=["light", "wide and dark", "phone"],
)
def test_it_fits_windows_of_all_sizes_in_light_and_dark(tab, tmp_path, width, height, dark, phone):
    tab.resize(width, height, dark=dark, phone=phone)
    tab.press("ArrowRight")
    shown(tab, "sst 1")
    tab.screenshot(tmp_path / "page.png")
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(int)
    assert picture.shape[1] == width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert (picture[-3, 3].mean() < 60) == dark
    assert len(np.unique(picture @ (65536, 256, 1))) > 100, "no frame was drawn"
    overlaps = tab.evaluate(
        """(() => {
          const texts = [...document.querySelectorAll("#plot text")];
          const boxes = texts.map((each) => each.getBoundingClientRect());
          const apart = (a, b) => a.right <= b.left || b.right <= a.left
            || a.bottom <= b.top || b.bottom <= a.top;
          return boxes.some((a, i) => boxes.slice(i + 1).some((b) => !apart(a, b)));
        })()"""
    )
    assert not overlaps, "labels of the plot lie on each other"


def test_values_lost_and_invented_in_decoding_are_seen_and_counted(browser, tmp_path):
    original = xr.Dataset(
        {"a": (DIMS, np.random.default_rng(4).random((4, 20, 20)), {"units": "K"})}
    )
    original.a[:, 19, :3] = np.nan
    decoded = original.copy(deep=True)
    decoded.a[:, :10] = np.nan
    decoded.a[:, 19, :2] = 0.5
    opened(browser, decoded, tmp_path, reference=original)
    low, high = (
        float(browser.evaluate(f"document.getElementById({n!r}).value")) for n in ("low", "high")
    )
    seen = canvas(browser, "original")
    assert ((seen[..., 3] == 0) == np.isnan(original.a.values[0])).all()
    expected = painted(original.a.values[0, :19], low, high)
    assert np.abs(seen[:19, :, :3] - expected).max() <= 4
    assert ((canvas(browser)[..., 3] == 0) == np.isnan(decoded.a.values[0])).all()
    facts = "RMSE 0 K, largest 0 K, 200 values lost, 2 invented"
    assert text(browser, "#error-facts") == facts
    browser.click("#original", 0.525, 0.075)
    browser.wait("document.getElementById('readout').textContent.startsWith('y 1,')")
    found = re.fullmatch(
        r"y 1, x 10; a missing, original ([\d.]+), error missing", text(browser, "#readout")
    )
    assert found, text(browser, "#readout")
    assert float(found[1]) == pytest.approx(float(original.a[0, 1, 10]), abs=1e-4)
    assert len(line(browser, "original")) == 4


@pytest.mark.parametrize("south_up", [True, False])
def test_thinned_rows_keep_their_coordinates(browser, tmp_path, south_up):
    lat = np.arange(108.0) if south_up else np.arange(108.0)[::-1]
    values = np.broadcast_to(lat[:, None], (2, 108, 1000)).copy()
    cube = xr.Dataset({"a": (("time", "lat", "lon"), values)}, coords={"lat": lat})
    assert "row" in opened(browser, cube, tmp_path, max_nbytes=30_000).notes[0]
    browser.click("#decoded", 0.5, 0.01)
    found = re.match(r"lat (\d+), lon \d+; a ([\d.]+)", text(browser, "#readout"))
    assert float(found[2]) == pytest.approx(float(found[1]), abs=0.01)


@pytest.mark.parametrize("dim", ["lat", "lon"])
def test_coordinates_with_gaps_are_replaced_by_positions(browser, tmp_path, dim):
    given = [0.0, 10, 20, 30, 40, 50, 60, np.nan]
    cube = xr.Dataset({"a": (("time", "lat", "lon"), np.zeros((3, 8, 8)))}, coords={dim: given})
    opened(browser, cube, tmp_path)
    browser.click("#decoded", 0.99, 0.99)
    browser.wait("document.getElementById('readout').textContent.startsWith('lat 7, lon 7;')")
    assert browser.trouble() == []


def test_large_numbers_keep_the_digits_that_tell_them_apart(browser, tmp_path):
    wave = 101325 + 200 * np.sin(np.arange(24) / 4)[:, None, None] + np.zeros((24, 20, 30))
    opened(browser, xr.Dataset({"msl": (DIMS, wave, {"units": "Pa"})}), tmp_path)
    readout = text(browser, "#readout")
    assert float(re.search(r"msl ([\d.]+) Pa", readout)[1]) == pytest.approx(101325, abs=0.01)
    assert "e+" not in text(browser, ".scale.values") + "".join(texts_of_plot(browser))
    ticks = [float(each) for each in texts_of_plot(browser) if re.fullmatch(r"[\d.]+", each)]
    assert len(ticks) == len(set(ticks)) > 3


def test_seconds_of_an_hour_are_told_apart_after_fifty_years(browser, tmp_path):
    values = 1.6e9 + np.linspace(0, 3600, 3 * 64).reshape(3, 8, 8)
    opened(browser, xr.Dataset({"sec": (DIMS, values, {"units": "s"})}), tmp_path)
    browser.click("#decoded", 0.99, 0.99)
    browser.wait("document.getElementById('readout').textContent.startsWith('y 7, x 7;')")
    found = float(re.search(r"sec ([\d.]+) s", text(browser, "#readout"))[1])
    assert found == pytest.approx(values[0, 7, 7], abs=0.06)
    assert len(np.unique(canvas(browser)[..., :3].reshape(-1, 3), axis=0)) > 50


def test_only_bands_of_one_grid_can_be_colours_together(browser, tmp_path):
    fine = np.arange(4 * 8 * 8.0).reshape(4, 8, 8)
    coarse = {"b": (("time", "y2", "x2"), np.ones((4, 4, 4)))}
    cube = {"a": (DIMS, fine)} | coarse | {"c": (DIMS, 2 * fine), "d": (DIMS, -fine)}
    opened(browser, xr.Dataset(cube), tmp_path)
    browser.choose("#mode", "rgb")
    shown(browser, "a|a|a 0")
    for each in ("red", "green", "blue"):
        assert text(browser, f"#{each}") == "acd"
    assert text(browser, ".facts span b") == "time 4, y 8, x 8; time 4, y2 4, x2 4"


def test_numbers_beyond_single_precision_are_drawn(browser, tmp_path):
    values = np.linspace(-1e100, 1e100, 3 * 64).reshape(3, 8, 8)
    opened(browser, xr.Dataset({"a": (DIMS, values)}), tmp_path)
    assert browser.trouble() == []
    assert len(line(browser, '""')) == 3


def test_a_long_series_is_drawn_with_its_extremes_and_its_gaps(browser, tmp_path):
    values = np.random.default_rng(5).random((200_000, 1, 1))
    values[123_456], values[50_000:60_000] = 9.0, np.nan
    opened(browser, xr.Dataset({"a": (DIMS, values)}), tmp_path)
    assert browser.trouble() == []
    heights = line(browser, '""')
    assert 1000 < len(heights) < 20_000
    assert sum(each < min(heights) + 1 for each in heights) == 1
    path = browser.evaluate("document.querySelector('#plot .line').getAttribute('d')")
    assert path.count("M") == 2
    browser.click("#plot .hit", 0.999)
    browser.wait("Number(document.getElementById('frame').value) > 190000")


# ---- from files ----------------------------------------------------------------------------


def test_the_command_writes_a_page_with_errors_for_a_cube_file(browser, tmp_path, crop):
    video, page = tmp_path / "cube.mp4", tmp_path / "cube.html"
    source = xr.open_dataset(crop, decode_cf=False).isel(time=slice(0, 8))
    source.to_netcdf(tmp_path / "cube.nc")
    xvcomp.encode(source, video, stored=True, target=xvcomp.Quality(40), preset="fast")
    arguments = ["view", str(video), "--reference", str(tmp_path / "cube.nc"), "--out", str(page)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "fields" in done.stdout
    browser.resize(1280, 900)
    browser.open(page.as_uri())
    assert text(browser, "h1") == "cube.mp4"
    assert browser.trouble() == []
    assert re.match(r"RMSE [\d.e-]+, largest", text(browser, "#error-facts"))
    spread = canvas(browser, "error")[..., :3].std()
    assert spread > 1, "no errors are seen"


def test_the_page_is_named_after_the_file_and_opened_on_request(tmp_path, crop, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["view", str(crop), "--open", "--isel", "time=0:3", "--json"])
    assert done.exit_code == 0, done.output
    assert opened == [(tmp_path / "s2_be1_crop.html").as_uri()]
    assert CliRunner().invoke(cli, ["view", str(crop)]).exit_code == 1

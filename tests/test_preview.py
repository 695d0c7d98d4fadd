"""Previews: pictures that show the cube, colours that mean the same, and videos that play."""

import base64
import io
import os
import re
import sys

import av
import numpy as np
import pytest
import xarray as xr
from browser import Browser, chromium
from click.testing import CliRunner
from PIL import Image

import xvcomp
from xvcomp.errors import PlanError
from xvcomp.previews import (
    channels,
    colours,
    drawing,
    inline_html,
    labels,
    looks,
    output,
    scenes,
    showing,
)
from xvcomp_cli.main import cli

DIMS = ("time", "y", "x")


def dates(n):
    return np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(5, "D")


def field(n=6, height=20, width=30, name="t2m", **attrs):
    t, y, x = np.meshgrid(np.arange(n), np.arange(height), np.arange(width), indexing="ij")
    values = (280.0 + x / 3 + y / 5 + t).astype("f4")
    return xr.Dataset({name: (DIMS, values, {"units": "K", **attrs})}, coords={"time": dates(n)})


def bands(names=("B02", "B03", "B04", "B08"), n=4, size=16):
    rng = np.random.default_rng(3)
    shape = (n, size, size)
    made = {name: (DIMS, (0.05 * (k + 1) + 0.05 * rng.random(shape)).astype("f4"))
            for k, name in enumerate(names)}  # fmt: skip
    return xr.Dataset(made, coords={"time": dates(n)})


def chosen(dataset, **asked):
    return scenes.choose_scene(channels.channels_of(dataset), **asked)


def decode(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


# ---- what is shown -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("B02", "B03", "B04", "B08"), "B04, B03, B02"),
        (("blue", "green", "red"), "red, green, blue"),
        (("green", "red", "nir"), "nir, red, green"),
        (("VV", "VH"), "VV"),
    ],
)
def test_natural_colours_come_before_false_ones_and_those_before_a_single_field(names, label):
    assert chosen(bands(names)).label == label


def test_bands_are_found_by_their_common_name_too():
    cube = bands(("a", "b", "c"))
    for name, common in zip("abc", ("blue", "green", "red"), strict=True):
        cube[name].attrs["common_name"] = common
    assert chosen(cube).label == "c, b, a"


def test_bands_along_a_dim_are_found_by_its_labels():
    cube = bands().to_dataarray("band", name="refl").transpose("time", "band", "y", "x")
    assert chosen(cube.to_dataset()).label == "refl B04, refl B03, refl B02"
    assert chosen(cube.to_dataset(), variable="B08").label == "refl B08"


def test_classes_and_static_fields_are_shown_only_when_there_is_nothing_else():
    cube = field()
    cube = cube.assign(SCL=(DIMS, np.ones((6, 20, 30), "u1"), {"flag_values": [0, 1]}))
    cube = cube.assign(height=(("y", "x"), np.ones((20, 30))))[["height", "SCL", "t2m"]]
    assert chosen(cube).label == "t2m"
    assert chosen(cube[["height", "SCL"]]).label == "SCL"


def test_a_position_along_a_dim_keeps_the_date_and_dims_of_one_do_not_hide_names():
    from xvcomp.previews.opening import selected

    cube = selected(bands().expand_dims(band=[1]), {"time": -1})
    scene = chosen(cube)
    assert scene.label == "B04, B03, B02"
    assert labels.frame_labels(scene.first, [0]) == ["2020-01-16"]


def test_durations_stay_numbers(tmp_path):
    cube = field(name="growing", units="days")
    assert xvcomp.preview(cube, tmp_path / "a.png").label == "growing"


def test_ndvi_is_that_of_the_red_and_the_infrared_band():
    cube = bands()
    scene = chosen(cube, index="ndvi")
    shown = scene.read(channels.Grid((0, 1, 2, 3), 1))
    expected = (cube.B08 - cube.B04) / (cube.B08 + cube.B04)
    np.testing.assert_allclose(shown, expected, rtol=1e-5)
    assert looks.fit_look(scene).colours == colours.GREENS


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"rgb": ("B04", "B03", "nope")}, "no field 'nope'.*B02"),
        ({"rgb": ("B04", "B03")}, "three bands"),
        ({"rgb": "B04"}, "three bands .*got 'B04'"),
        ({"index": "XYZ"}, "no index 'XYZ'"),
        ({"variable": "t2m"}, "no field 't2m'"),
        ({"variable": "B02", "index": "NDVI"}, "exclude each other"),
    ],
)
def test_what_is_not_there_is_refused_with_a_sentence(asked, message):
    with pytest.raises(PlanError, match=message):
        chosen(bands(), **asked)


def test_an_index_says_of_which_bands_it_is():
    assert chosen(bands(), index="ndvi").label == "NDVI (B08, B04)"
    assert chosen(bands(), index="NDWI").label == "NDWI (B03, B08)"


def test_the_panchromatic_band_of_landsat_is_no_infrared():
    landsat = [f"B{k}" for k in range(1, 12)]
    with pytest.raises(PlanError, match="name the two bands"):
        chosen(bands(landsat), index="NDVI")
    sentinel = [*landsat, "B8A", "B12"]
    assert chosen(bands(sentinel), index="NDVI").label == "NDVI (B8, B4)"


def test_bands_of_two_grids_are_not_drawn_together():
    cube = bands().assign(B11=(("time", "y20", "x20"), np.ones((4, 8, 8))))
    with pytest.raises(PlanError, match="one grid"):
        chosen(cube, rgb=("B11", "B03", "B02"))


def test_a_cube_without_pictures_is_refused(tmp_path):
    with pytest.raises(PlanError, match="nothing to draw"):
        xvcomp.preview(xr.Dataset({"a": ("time", [1.0, 2.0])}), tmp_path / "a.png")


@pytest.mark.parametrize("dtype", ["complex128", "object", "datetime64[ns]"])
def test_what_cannot_be_drawn_is_named_with_its_dtype(tmp_path, dtype):
    values = np.ones((2, 4, 4)).astype("i8").astype(dtype)
    with pytest.raises(PlanError, match=re.escape(f"'a' is of dtype {np.dtype(dtype)}")):
        xvcomp.preview(xr.Dataset({"a": (DIMS, values)}), tmp_path / "a.png")


def test_a_field_of_dates_is_drawn_as_numbers(tmp_path):
    cube = field(name="burnt", units="days since 2000-01-01")
    done = xvcomp.preview(cube, tmp_path / "a.png", stretch=(0, 100))
    assert done.low == pytest.approx(float(cube.burnt.min()), rel=1e-6)
    stored = xr.decode_cf(
        cube.drop_vars("time").assign_coords(
            time=("time", np.arange(6.0), {"units": "days since 2020-01-01"})
        ),
        decode_times=False,
    )
    from xvcomp.previews.opening import opened

    with opened(stored) as dataset:
        assert dataset.burnt.dtype.kind == "f"
        assert labels.frame_labels(channels.channels_of(dataset)[0], [1]) == ["2020-01-02"]


@pytest.mark.parametrize("value", ["0.1", [1.0, 2.0]])
def test_packing_that_is_no_number_is_refused_by_name(tmp_path, value):
    with pytest.raises(PlanError, match=r"scale_factor of 't2m' is .*one number"):
        xvcomp.preview(field(scale_factor=value), tmp_path / "a.png")


@pytest.mark.parametrize("wanted", [[99], [0, -7], np.array([6]), np.int64(6), [0.5]])
def test_positions_outside_of_a_dim_are_refused(tmp_path, wanted):
    with pytest.raises(PlanError, match="time"):
        xvcomp.preview(field(), tmp_path / "a.png", isel={"time": wanted})


def test_a_position_may_be_a_number_of_numpy(tmp_path):
    done = xvcomp.preview(field(), tmp_path / "a.png", isel={"time": np.int64(-1)})
    assert done.frames == 1


def test_north_is_up_whichever_way_latitudes_run():
    cube = field().rename(y="lat", x="lon").assign_coords(lat=np.arange(20.0))
    up = channels.channels_of(cube)[0].read(channels.Grid((0,), 1))
    down = channels.channels_of(cube.isel(lat=slice(None, None, -1)))[0].read(
        channels.Grid((0,), 1)
    )
    np.testing.assert_array_equal(up, down)
    np.testing.assert_array_equal(up[0, 0], cube.t2m[0, -1])


# ---- colours -------------------------------------------------------------------------------


def test_the_stretch_is_one_for_all_frames_and_ignores_what_is_missing():
    cube = field()
    cube.t2m[0, :5] = np.nan
    look = looks.fit_look(chosen(cube))
    valid = cube.t2m.values[np.isfinite(cube.t2m.values)]
    assert (look.low, look.high) == pytest.approx(tuple(np.percentile(valid, (1, 99))), rel=1e-6)


def test_packed_fill_values_are_missing_not_black(tmp_path):
    values = np.full((2, 8, 8), 500, "i2")
    values[:, :4] = -9999
    attrs = {"_FillValue": np.int16(-9999), "scale_factor": 0.001}
    packed = xr.Dataset({"a": (DIMS, values, attrs)})
    xvcomp.preview(packed, tmp_path / "a.png", size=64)
    decoded = xr.decode_cf(packed)
    assert np.isnan(channels.channels_of(decoded)[0].read(channels.Grid((0,), 1))[0, :4]).all()
    sheet = np.asarray(Image.open(tmp_path / "a.png")).reshape(-1, 3)
    grey = {tuple(int(v) for v in pixel) for pixel in np.unique(sheet, axis=0)}
    assert {(128, 132, 137), (98, 102, 107)} <= grey, "the gap is not hatched"


def test_fields_around_zero_get_colours_around_zero():
    cube = field()
    look = looks.fit_look(chosen(cube - cube.mean()))
    assert look.colours == colours.DIVERGING
    assert look.low == -look.high
    assert looks.fit_look(chosen(cube)).colours == colours.SEQUENTIAL


def test_rain_that_is_mostly_zero_is_still_seen():
    values = np.zeros((5, 30, 30))
    values[:, 10:13, 10:13] = np.linspace(1, 9, 9).reshape(3, 3)
    look = looks.fit_look(chosen(xr.Dataset({"rain": (DIMS, values)})))
    assert look.low == 0.0
    assert look.high > 8


def test_clouds_do_not_turn_land_black():
    cube = bands(n=10)
    for name in cube.data_vars:
        cube[name][5:] = 0.9
    look = looks.fit_look(chosen(cube))
    land = look.draw(chosen(cube).read(channels.Grid((0,), 1)))
    assert land.mean() > 60


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, 0.0, 7.0, -1e17, 1e300])
def test_constant_and_empty_fields_are_drawn(tmp_path, value):
    cube = xr.Dataset({"a": (DIMS, np.full((2, 5, 7), value))})
    for end in ("png", "gif", "mp4"):
        assert xvcomp.preview(cube, tmp_path / f"a.{end}").nbytes > 0


def test_errors_are_drawn_ten_times_as_strong():
    look = looks.Look(low=0.0, high=1.0, colours=None)
    grey, bright = look.draw_error(np.array([[[0.0] * 3, [0.02] * 3]]))[0, :, 0]
    assert grey == 128
    assert bright == pytest.approx(255 * 0.7, abs=1)


# ---- labels --------------------------------------------------------------------------------


def test_dates_have_hours_only_where_they_matter():
    days = channels.channels_of(field())[0]
    assert labels.frame_labels(days, [0, 2]) == ["2020-01-01", "2020-01-11"]
    hours = field().assign_coords(time=dates(6) + np.timedelta64(90, "m"))
    assert labels.frame_labels(channels.channels_of(hours)[0], [1]) == ["2020-01-06 01:30"]


def test_frames_without_dates_are_named_by_their_axis():
    cube = field().drop_vars("time").rename(time="level")
    assert labels.frame_labels(channels.channels_of(cube)[0], [3]) == ["level 3"]
    cube = cube.assign_coords(level=("level", [10.0, 20, 30, 50, 70, 100], {"units": "hPa"}))
    assert labels.frame_labels(channels.channels_of(cube)[0], [3]) == ["level 50 hPa"]


@pytest.mark.parametrize(
    ("times", "written"),
    [
        ([20200101, 20200102], ["time 20200101", "time 20200102"]),
        ([20200101.0, 20200102.5], ["time 20200101", "time 20200102.5"]),
        (np.array([0, 6], "m8[h]"), ["time 0 h", "time 6 h"]),
        (np.array([24, 72], "m8[h]").astype("m8[ns]"), ["time 1 d", "time 3 d"]),
        (np.array(["2020-01-01T00:00:05", "2020-01-01T00:00:35"], "M8[ns]"),
         ["2020-01-01 00:00:05", "2020-01-01 00:00:35"]),
        (np.array(["2020-01-01T00:00:05.25", "NaT", "2020-01-01T00:00:05.5"], "M8[ns]"),
         ["2020-01-01 00:00:05.250", "frame 1", "2020-01-01 00:00:05.500"]),
        (np.array(["2020-01-01T10:30:24", "2020-01-06T10:30:21"], "M8[ns]"),
         ["2020-01-01 10:30", "2020-01-06 10:30"]),
        (["a run of the model, first", "a run of the model, second"],) * 2,
    ],
)  # fmt: skip
def test_labels_of_frames_are_whole_and_differ(times, written):
    cube = field(len(times)).assign_coords(time=times)
    found = labels.frame_labels(channels.channels_of(cube)[0], range(len(times)))
    assert found == written


def test_numbers_are_short_and_units_of_pure_numbers_are_not_written():
    numbers = (0.0, -0.00001, 0.00123456, 1.23456, 274.38467, 103539.2, 2e9)
    written = ["0", "-1e-05", "0.001235", "1.235", "274.4", "103539", "2e+09"]
    assert [labels.short(number) for number in numbers] == written
    assert [channels.plain_unit({"units": unit}) for unit in ("1", "K", "-")] == ["", "K", ""]


def test_other_calendars_are_written_too():
    times = xr.date_range("2001-02-28", periods=6, calendar="360_day", use_cftime=True)
    cube = field().assign_coords(time=times)
    assert labels.frame_labels(channels.channels_of(cube)[0], [2])[0].startswith("2001-02-30")


# ---- files ---------------------------------------------------------------------------------


def test_a_video_is_what_every_browser_plays(tmp_path):
    done = xvcomp.preview(field(width=31), tmp_path / "a.mp4", fps=4, size=64)
    assert (done.frames, done.frames_of, done.label) == (6, 6, "t2m")
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.frames) == ("h264", "yuv420p", 6)
        assert context.width % 2 == 0
        assert context.height % 2 == 0
        tags = (context.color_range, context.colorspace, context.color_primaries,
                context.color_trc)  # fmt: skip
        assert tags == (1, 1, 1, 1), "not tagged as limited range BT.709"
        assert float(stream.average_rate) == 4
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the header does not come first"


def test_the_colours_of_the_video_are_those_of_the_picture(tmp_path):
    """Patches of pure colours, decoded by hand with the matrix that the file names."""
    values = np.zeros((2, 2, 3))
    colour = {"red": values.copy(), "green": values.copy(), "blue": values.copy()}
    for column, name in enumerate(colour):
        colour[name][:, :, column] = 1.0
    cube = xr.Dataset({name: (DIMS, each) for name, each in colour.items()})
    xvcomp.preview(cube, tmp_path / "a.mp4", size=96, stretch=(0, 100))
    with av.open(str(tmp_path / "a.mp4")) as file:
        planes = [p.astype(float) for p in _planes(next(file.decode(video=0)))]
    y, cb, cr = (plane for plane in planes)
    for column, expected in enumerate(np.eye(3) * 255):
        at = 16 + 32 * column
        luma, blue, red = 255 / 219 * (y[20, at] - 16), cb[10, at // 2], cr[10, at // 2]
        blue, red = (255 / 224 * (c - 128) for c in (blue, red))
        rgb = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
        np.testing.assert_allclose(rgb, expected, atol=12)


def _planes(frame):
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        yield rows[:, : plane.width]


def test_small_cubes_are_enlarged_and_large_ones_reduced(tmp_path):
    small = xvcomp.preview(field(2, 10, 10), tmp_path / "a.mp4", size=320)
    large = xvcomp.preview(field(2, 900, 1200), tmp_path / "b.mp4", size=128)
    assert decode(small.path)[0].shape[1] == 320
    assert 128 <= decode(large.path)[0].shape[1] <= 256


@pytest.mark.parametrize(
    ("pixels", "size", "drawn"),
    [(700, 384, 350), (330, 480, 660), (10, 384, 380), (1, 480, 480), (1200, 128, 134),
     (480, 480, 480), (8192, 4096, 4096)],
)  # fmt: skip
def test_the_size_is_the_nearest_that_steps_of_pixels_give(pixels, size, drawn):
    scene = chosen(field(1, 4, pixels))
    show = showing.Show.of(scene, max_frames=1, size=size)
    (panels,) = show.panels()
    assert max(panels[0].rgb.shape) * show.style(size).scale == drawn


@pytest.mark.parametrize("compare", [False, True])
def test_the_size_of_pictures_is_known_before_they_are_drawn(compare):
    scene = chosen(field(1, 7, 50))
    show = showing.Show.of(scene, scene if compare else None, max_frames=1, size=256)
    (picture,) = show.pictures(256)
    assert picture.shape[:2] == show.picture_size(256)


def test_a_picture_too_large_for_a_video_is_refused_with_what_fits(tmp_path):
    cube = field(1, 8, 5700)
    with pytest.raises(PlanError, match=r"17112 x .* use size (\d+) or less") as found:
        xvcomp.preview(cube, tmp_path / "a.mp4", compare=cube, size=4096)
    (size,) = re.findall(r"use size (\d+)", str(found.value))
    xvcomp.preview(cube, tmp_path / "a.mp4", compare=cube, size=int(size))
    with pytest.raises(PlanError, match="or less"):
        xvcomp.preview(cube, tmp_path / "b.mp4", compare=cube, size=int(size) + 1)


def test_text_is_written_with_what_the_font_has():
    written = {
        "\u00b5g m\u207b\u00b2 s\u207b\u00b9": "ug m-2 s-1",
        "\u03bcm": "um",
        "mm\n  per\thour": "mm per hour",
        "\u00b0C \u00e9t\u00e9 \u4e2d": "\u00b0C ete",
        "10\u00b3 \u00d7 10\u207b\u00b9 \u2212 \u00bd": "10^3 x 10^-1 - 1/2",
    }
    assert {text: drawing.plain(text) for text in written} == written


@pytest.mark.parametrize("unit", ["K", "mm\nper hour", "kilograms of dry matter " * 4])
@pytest.mark.parametrize("end", ["png", "gif"])
def test_the_legend_keeps_its_place_whatever_the_unit(tmp_path, unit, end):
    """Its line has the name on the left, then the bar; nothing runs into the panels."""
    cube = field(2, 32, 32, units=unit)
    xvcomp.preview(cube, tmp_path / f"a.{end}", size=32)
    pixels = np.asarray(Image.open(tmp_path / f"a.{end}").convert("RGB")).astype(int)
    legend = pixels[:30] if end == "png" else pixels[-26:]
    inked = np.abs(legend - drawing.BACKGROUND).max(axis=(0, 2)) > 60
    coloured = np.ptp(legend, axis=-1).max(axis=0) > 60
    assert inked[:40].any(), "the name is gone"
    assert coloured.sum() >= 24, "there is no bar"
    assert not inked[-4:].any(), "the unit runs out of the picture"
    assert np.flatnonzero(coloured)[0] > 60, "the low value has no room"


def test_a_unit_of_two_lines_is_written_in_one(tmp_path):
    sheets = []
    for unit in ("mm per hour", "mm\nper hour"):
        xvcomp.preview(field(units=unit), tmp_path / "a.png", overwrite=True)
        sheets.append(np.asarray(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(*sheets)


def test_long_cubes_are_thinned_evenly(tmp_path):
    done = xvcomp.preview(field(50), tmp_path / "a.gif", max_frames=5, size=64)
    assert (done.frames, done.frames_of) == (5, 50)
    assert Image.open(done.path).n_frames == 5


def test_a_gif_moves_and_loops(tmp_path):
    xvcomp.preview(field(4), tmp_path / "a.gif", fps=5, size=64)
    image = Image.open(tmp_path / "a.gif")
    assert image.info["loop"] == 0
    assert image.info["duration"] == 200
    frames = []
    for k in range(image.n_frames):
        image.seek(k)
        frames.append(np.asarray(image.convert("RGB")).astype(int))
    assert len(frames) == 4
    assert np.abs(frames[0] - frames[3]).mean() > 5


def test_a_contact_sheet_has_a_cell_for_every_frame(tmp_path):
    cube = xr.Dataset({"a": (DIMS, np.repeat([0.0, 1.0], 2)[:, None, None] * np.ones((4, 8, 8)))})
    xvcomp.preview(cube, tmp_path / "a.png", size=64, stretch=(0, 100))
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    for end in (colours.SEQUENTIAL[0], colours.SEQUENTIAL[-1]):
        count = (pixels == end).all(axis=-1).sum()
        assert 2 * 64 * 64 <= count <= 2 * 64 * 64 + 200


def test_original_decoded_and_error_are_side_by_side(tmp_path):
    cube = field(4, 16, 16)
    wrong = cube.copy(deep=True)
    wrong.t2m[:, :8] += 0.2
    done = xvcomp.preview(wrong, tmp_path / "a.mp4", compare=cube, size=128)
    frame = decode(done.path)[0].astype(int)
    assert frame.shape[1] == 3 * 128 + 12
    top = frame[40:80, 280:390].reshape(-1, 3).mean(axis=0)
    bottom = frame[100:140, 280:390].reshape(-1, 3).mean(axis=0)
    assert top[0] > top[2] + 40, "a positive error is not red"
    np.testing.assert_allclose(bottom, 250, atol=8)


def test_cubes_of_other_sizes_are_not_compared(tmp_path):
    with pytest.raises(PlanError, match="cannot be compared"):
        xvcomp.preview(field(), tmp_path / "a.png", compare=field(height=10))


def levels():
    """Make a cube of three levels, each 100 warmer than the one before, that runs north."""
    rng = np.random.default_rng(5)
    values = rng.random((3, 4, 8, 9)) + 100 * np.arange(3)[:, None, None, None]
    return xr.Dataset(
        {"t": (("level", "time", "y", "x"), values, {"units": "K"})},
        coords={
            "level": [850, 500, 300],
            "time": dates(4),
            "y": ("y", 10.0 * np.arange(8), {"units": "m"}),
            "x": 5.0 * np.arange(9),
        },
    )


def largest_error(decoded, original):
    scene = chosen(decoded)
    theirs = scenes.same_in(channels.channels_of(original), scene)
    grid = channels.Grid((0, 1, 2, 3), 1)
    return float(np.abs(scene.read(grid) - theirs.read(grid)).max())


def test_a_level_is_compared_with_the_same_level():
    cube = levels()
    assert largest_error(cube.isel(level=2), cube) == 0
    assert largest_error(cube.isel(level=[1]), cube) == 0
    assert largest_error(cube.isel(level=1), cube.isel(level=[2, 1])) == 0
    with pytest.raises(PlanError, match=r"level 300 .*lacks"):
        largest_error(cube.isel(level=2), cube.isel(level=0))
    with pytest.raises(PlanError, match="any of t level 850, t level 500"):
        largest_error(cube.isel(level=2, drop=True), cube)


def test_levels_that_are_written_alike_are_told_apart():
    cube = levels().assign_coords(level=[1000000.0, 1000001.0, 1000002.0])
    for k in range(3):
        assert largest_error(cube.isel(level=k), cube) == 0


def test_what_is_compared_is_turned_the_same_way():
    cube = levels().isel(level=0)
    bare = cube.drop_attrs()
    assert channels.channels_of(cube)[0].upside_down
    for first, second in ((cube, bare), (bare, cube), (cube, cube.drop_vars("y"))):
        assert largest_error(first, second) == 0
    other = cube.rename(y="lat", x="lon").drop_attrs()
    assert largest_error(cube.drop_attrs(), other) == 0


@pytest.mark.parametrize("dim", ["time", "y", "x"])
def test_cubes_at_other_positions_are_not_compared(dim):
    cube = levels().isel(level=0)
    step = cube[dim][1] - cube[dim][0]
    backwards = cube.isel({dim: slice(None, None, -1)})
    for other in (backwards, cube.assign_coords({dim: cube[dim] + step})):
        with pytest.raises(PlanError, match=f"coordinate '{dim}' differs"):
            largest_error(cube, other)


def test_positions_that_are_rounded_or_named_are_the_same():
    cube = levels().isel(level=0)
    rounded = cube.assign_coords(x=cube.x.astype("f4") + 0.1, time=cube.time.astype("M8[s]"))
    assert largest_error(cube, rounded) == 0
    gaps = cube.assign_coords(x=[np.nan, *cube.x.values[1:]])
    assert largest_error(gaps, gaps.copy()) == 0
    names = cube.assign_coords(time=list("abcd"))
    assert largest_error(names, names.assign_coords(time=np.array(list("abcd"), object))) == 0
    with pytest.raises(PlanError, match="'time' differs"):
        largest_error(names, names.assign_coords(time=list("abdc")))


def test_a_level_in_a_file_is_compared_with_the_whole_original(tmp_path):
    cube = levels()
    xvcomp.encode(cube.isel(level=2), tmp_path / "a.mp4", target=xvcomp.Lossless(), preset="fast")
    xvcomp.preview(tmp_path / "a.mp4", tmp_path / "a.png", compare=cube, size=64)
    page = tmp_path / "a.html"
    xvcomp.view(tmp_path / "a.mp4", page, reference=cube)
    assert '"limit": 0.0' in page.read_text() or '"limit":0.0' in page.read_text()


def test_a_cube_file_shows_what_its_cube_shows(tmp_path):
    cube = field(8, 40, 40)
    xvcomp.encode(cube, tmp_path / "cube.mp4", target=xvcomp.Lossless(), preset="fast")
    for name, source in (("a", cube), ("b", tmp_path / "cube.mp4")):
        xvcomp.preview(source, tmp_path / f"{name}.png", size=64)
    first, second = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("out", "keywords", "error"),
    [
        ("a.jpg", {}, PlanError),
        ("a.mp4", {"fps": 0}, PlanError),
        ("a.mp4", {"stretch": (98, 2)}, PlanError),
        ("a.mp4", {"isel": {"depth": 0}}, PlanError),
        ("a.mp4", {"isel": {"time": 99}}, PlanError),
        ("a.mp4", {"isel": {"time": slice(0, 0)}}, PlanError),
        ("none/a.mp4", {}, FileNotFoundError),
        ("there.mp4", {}, FileExistsError),
    ],
)
def test_failures_leave_nothing_behind(tmp_path, out, keywords, error):
    (tmp_path / "there.mp4").write_bytes(b"mine")
    with pytest.raises(error):
        xvcomp.preview(field(), tmp_path / out, **keywords)
    assert [path.name for path in tmp_path.iterdir()] == ["there.mp4"]
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"


def test_a_cube_file_is_not_overwritten_by_its_own_preview(tmp_path):
    path = tmp_path / "cube.mp4"
    xvcomp.encode(field(), path, target=xvcomp.Quality(40), preset="fast")
    before = path.read_bytes()
    with pytest.raises(PlanError, match="would destroy"):
        xvcomp.preview(path, path, overwrite=True)
    assert path.read_bytes() == before


@pytest.fixture
def cube_file(tmp_path):
    path = tmp_path / "a cube.mp4"
    xvcomp.encode(field(), path, target=xvcomp.Quality(40), preset="fast")
    return path


@pytest.mark.parametrize(
    "by", ["url", "quoted", "chain", "vsi", "dataset", "array", "open", "link"]
)
def test_a_source_is_not_overwritten_however_it_is_named(cube_file, by):
    before = cube_file.read_bytes()
    link = cube_file.with_name("link.mp4")
    link.symlink_to(cube_file)
    sources = {
        "url": f"file://{cube_file}",
        "quoted": cube_file.as_uri(),
        "chain": f"simplecache::file://{cube_file}",
        "vsi": f"/vsisubfile/0_{len(before)},{cube_file}",
        "dataset": xr.open_dataset(cube_file, engine="xvcomp"),
        "array": xr.open_dataset(cube_file, engine="xvcomp").t2m,
        "open": xvcomp.open(cube_file),
        "link": link,
    }
    for draw in (xvcomp.preview, xvcomp.view):
        with pytest.raises(PlanError, match=r"is the source; .* would destroy it"):
            draw(sources[by], cube_file, overwrite=True)
    with pytest.raises(PlanError, match="would destroy it"):
        xvcomp.preview(field(), cube_file, compare=sources[by], overwrite=True)
    assert cube_file.read_bytes() == before


def test_a_dataset_is_not_overwritten_by_a_page_of_its_cube(tmp_path, cube_file):
    pytest.importorskip("pyarrow")
    path = tmp_path / "data.tacozip"
    sample = xvcomp.TacoSample(id="one", path=cube_file, columns={})
    xvcomp.write_taco(path, [sample], xvcomp.Collection(id="mine", licenses=("CC-BY-4.0",)))
    before = path.read_bytes()
    with pytest.raises(PlanError, match="would destroy it"):
        xvcomp.view(f"{path}::one", path, overwrite=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_what_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    def refuse(*_names, **_keywords):
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    out = tmp_path / "a.png"
    with pytest.raises(FileExistsError, match="exists already"):
        xvcomp.preview(field(), out, on_progress=lambda _: out.write_bytes(b"mine"))
    assert out.read_bytes() == b"mine"
    xvcomp.preview(field(), out, overwrite=True)
    xvcomp.preview(field(), tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == out.read_bytes() != b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path):
    out = tmp_path / "a.png"
    out.symlink_to(tmp_path / "gone.png")
    with pytest.raises(FileExistsError, match="exists already"):
        xvcomp.preview(field(), out)
    assert out.is_symlink()


def test_two_writers_of_one_name_do_not_share_a_hidden_file(tmp_path):
    out = tmp_path / ("n" * 251 + ".png")
    with output.published(out, overwrite=True) as first:
        first.write_bytes(b"first")
        with output.published(out, overwrite=True) as second:
            second.write_bytes(b"second")
        assert out.read_bytes() == b"second"
    assert out.read_bytes() == b"first"


def test_cubes_inside_of_datasets_and_behind_urls_are_drawn(tmp_path):
    pytest.importorskip("pyarrow")
    cube = field(8, 40, 40)
    xvcomp.encode(cube, tmp_path / "a.mp4", target=xvcomp.Lossless(), preset="fast")
    sample = xvcomp.TacoSample(id="one", path=tmp_path / "a.mp4", columns={})
    about = xvcomp.Collection(id="mine", licenses=("CC-BY-4.0",))
    xvcomp.write_taco(tmp_path / "data.tacozip", [sample], about)
    sources = [cube, f"{tmp_path}/data.tacozip::one", f"file://{tmp_path}/a.mp4"]
    pictures = []
    for k, source in enumerate(sources):
        done = xvcomp.preview(source, tmp_path / f"{k}.png", size=64)
        pictures.append(np.asarray(Image.open(done.path)))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_a_source_that_breaks_halfway_leaves_nothing_behind(tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        xvcomp.preview(field(), tmp_path / "a.mp4", on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_only_a_part_of_a_large_cube_is_read(tmp_path):
    """Blocks of a huge lazy cube: the sum of what is computed stays small."""
    dask = pytest.importorskip("dask.array")
    seen = []

    def make(block_info=None):
        place = block_info[None]["array-location"]
        seen.append(place[0][0])
        return np.full((1, 2000, 3000), float(place[0][0]))

    lazy = dask.map_blocks(make, chunks=((1,) * 4000, (2000,), (3000,)), dtype="f8")
    cube = xr.Dataset({"a": (DIMS, lazy)})
    assert cube.nbytes > 150e9
    done = xvcomp.preview(cube, tmp_path / "a.png", max_frames=3, size=64)
    assert done.frames_of == 4000
    assert len(set(seen)) <= 20


# ---- a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(chromium(), tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


def test_a_browser_plays_the_video_and_shows_the_picture(browser, tmp_path):
    """The left half is the first colour, the right half the last; time passes."""
    values = np.zeros((30, 8, 8))
    values[:, :, 4:] = 1.0
    xvcomp.preview(xr.Dataset({"a": (DIMS, values)}), tmp_path / "a.mp4", size=128, fps=10,
                   stretch=(0, 100))  # fmt: skip
    coded = base64.b64encode((tmp_path / "a.mp4").read_bytes()).decode()
    page = tmp_path / "page.html"
    page.write_text(f'<video muted src="data:video/mp4;base64,{coded}"></video>')
    video = "document.querySelector('video')"
    browser.open(page.as_uri(), ready=f"{video}.readyState >= 2")
    assert browser.evaluate(f"{video}.duration") == pytest.approx(3.0, abs=0.11)
    browser.evaluate(f"{video}.play()")
    browser.wait(f"{video}.currentTime > 0.3")
    left, right = browser.evaluate(
        f"""(v => {{
          const c = document.createElement("canvas");
          c.width = v.videoWidth; c.height = v.videoHeight;
          const g = c.getContext("2d"); g.drawImage(v, 0, 0);
          return [32, 96].map((x) => Array.from(g.getImageData(x, 64, 1, 1).data).slice(0, 3));
        }})({video})"""
    )
    np.testing.assert_allclose(left, colours.SEQUENTIAL[0], atol=12)
    np.testing.assert_allclose(right, colours.SEQUENTIAL[-1], atol=12)


# ---- notebooks -----------------------------------------------------------------------------


def embedded(html):
    coded = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert coded, html
    return Image.open(io.BytesIO(base64.b64decode(coded.group(1))))


def test_notebooks_show_cubes_and_reports(tmp_path):
    cube = field(8, 40, 40)
    report = xvcomp.encode(cube, tmp_path / "cube.mp4", target=xvcomp.Quality(40), preset="fast")
    for html in (cube.video._repr_html_(), cube.t2m.video._repr_html_(), report._repr_html_()):
        image = embedded(html)
        assert image.width > 300
        assert len(html) < 300_000
    assert f"{report.ratio:.1f} times smaller" in report._repr_html_()


@pytest.mark.parametrize(
    "cube",
    [
        xr.Dataset(),
        xr.Dataset({"<b>x</b>": ("a", ["text"])}),
        xr.Dataset({"a": (DIMS, np.full((1, 1, 1), np.nan))}),
        xr.DataArray(np.zeros((2, 0, 3)), dims=DIMS),
    ],
    ids=["empty", "strings", "gaps", "no pixels"],
)
def test_a_notebook_never_sees_an_error(cube):
    html = cube.video._repr_html_()
    assert "<b>x" not in html
    assert "no preview" in html or "<img" in html


def test_a_report_whose_file_is_gone_still_shows_its_numbers(tmp_path):
    path = tmp_path / "<i>.mp4"
    report = xvcomp.encode(field(), path, target=xvcomp.Quality(40), preset="fast")
    path.unlink()
    html = report._repr_html_()
    assert "times smaller" in html
    assert "<i>" not in html


def test_a_notebook_does_not_compute_a_huge_cube():
    dask = pytest.importorskip("dask.array")

    def refuse(_block):
        raise AssertionError("computed")

    lazy = dask.zeros((400, 4000, 4000), chunks=(400, 400, 400)).map_blocks(refuse, dtype="f8")
    assert "would read" in inline_html(xr.Dataset({"a": (DIMS, lazy)}))


def test_drawing_needs_no_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert xvcomp.preview(field(), tmp_path / "a.png").nbytes > 0


# ---- command line --------------------------------------------------------------------------


def test_the_command_draws_any_source(tmp_path, crop):
    out = tmp_path / "look.gif"
    arguments = ["preview", str(crop), str(out), "--index", "NDVI", "--isel", "time=0:6", "--json"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert '"label": "NDVI (B08, B04)"' in done.stdout
    assert Image.open(out).n_frames == 6


@pytest.mark.parametrize("wrong", [["--rgb", "B04,B03"], ["--stretch", "a,b"], ["--fps", "0"]])
def test_the_command_refuses_what_it_cannot_read(tmp_path, crop, wrong):
    done = CliRunner().invoke(cli, ["preview", str(crop), str(tmp_path / "a.mp4"), *wrong])
    assert done.exit_code == 2


# ---- real cubes ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("s2_worldcereal_be1", "B04, B03, B02"),
        ("s2_earthnet_ood_a", "B04, B03, B02"),
        ("s1_worldcereal_be1", "VV"),
        ("era5_t2m_uk_hourly", "t2m"),
        ("ocean_globcurrent_agulhas", "u"),
        ("radar_knmi_nl", "precip"),
        ("s2_eolearn_ndvi", "ndvi"),
        ("erai_uvz", "z level 200"),
    ],
)
def test_real_cubes_are_seen(data_dir, tmp_path, name, label):
    for end in ("png", "gif", "mp4"):
        source, out = data_dir / f"{name}.nc", tmp_path / f"a.{end}"
        done = xvcomp.preview(source, out, max_frames=4, size=128)
        assert done.label == label
    upper = [picture[: picture.shape[0] // 2] for picture in decode(tmp_path / "a.mp4")]
    assert max(part.std() for part in upper) > 8, "all pictures are flat"

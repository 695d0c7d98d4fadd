"""Archives of xarrayvideo: decoded as there, from folders and TACO v1; hostile ones."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp.containers.source import BufferSource
from xvcomp.containers.taco.reader import open_taco
from xvcomp.errors import ContainerError, PlanError
from xvcomp.importing import find_cubes, import_xarrayvideo
from xvcomp.importing.assembling import _joined, denormalize
from xvcomp.importing.literals import MAX_CHARS, parse_literal
from xvcomp.importing.tag import Pca, VideoTag
from xvcomp.importing.tortilla import read_members
from xvcomp.importing.video import read_tag, read_video
from xvcomp_cli.main import cli

DATA = Path(__file__).parent / "data" / "xarrayvideo"
CUBES = ["early", "levels", "minicube", "pca", "planet"]


def _cube(name: str) -> xr.Dataset:
    return next(find_cubes(DATA / name)).load()


@pytest.mark.parametrize("name", CUBES)
def test_decoding_gives_what_xarrayvideo_gives(name):
    ds = _cube(name)
    with np.load(DATA / name / "expected.npz") as expected:
        for variable in expected.files:
            wanted, found = expected[variable], ds[variable].values
            assert found.dtype == wanted.dtype
            if name == "pca":  # a matrix product: machines differ in the last places
                np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
            else:
                assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("name", "variable", "dims"),
    [
        ("minicube", "B04", ("time", "y", "x")),
        ("planet", "labels", ("time_month", "y", "x")),
        ("pca", "B06", ("time", "x", "y")),
        ("early", "VV", ("time", "x", "y")),
        ("levels", "u", ("time", "x", "y", "level")),
    ],
)
def test_axes_have_the_names_that_fit(name, variable, dims):
    ds = _cube(name)
    assert ds[variable].dims == dims
    assert all(ds.sizes[d] == n for d, n in zip(dims, ds[variable].shape, strict=True))


def test_attributes_survive_words_with_nan_in_them():
    attrs = _cube("minicube").B03.attrs
    assert attrs["units"] == "nanometer"
    assert attrs["wavelength"] == 491.5
    assert np.isnan(attrs["gain"])


def test_attributes_that_no_file_holds_become_text(tmp_path):
    attrs = {"flag": True, "mixed": [1, "a"], "table": {"k": 1}, "none": None, "n": [1, 2]}
    tag = _tag_text(ATTRS=str({"VV": attrs, "VH": {}}))
    folder = shutil.copytree(DATA / "early", tmp_path / "early")
    _retagged(DATA / "early" / "sar_001.mkv", folder / "sar_001.mkv", tag)
    (done,) = import_xarrayvideo(folder, tmp_path / "c.nc")
    assert done.error is None
    with xr.open_dataset(tmp_path / "c.nc") as back:
        assert back.VV.attrs["flag"] == "True"
        assert back.VV.attrs["mixed"] == "[1, 'a']"
        assert list(back.VV.attrs["n"]) == [1, 2]
        assert "none" not in back.VV.attrs


def test_what_was_no_video_comes_from_the_netcdf_file_as_stored():
    ds = _cube("minicube")
    with xr.open_dataset(DATA / "minicube" / "x.nc", decode_cf=False) as rest:
        for name in rest.variables:
            assert rest[name].equals(ds[name])
        assert rest.attrs == ds.attrs


def test_files_of_a_set_are_joined_in_the_order_of_their_tags():
    tag, first = read_video(DATA / "planet" / "bands_001.mkv")
    ranges = np.repeat(tag.ranges, 2, axis=0)[:9]
    three = VideoTag(**{f: getattr(tag, f) for f in tag.__slots__} | {"ranges": ranges})
    files = {order: (DATA, three, np.full_like(first, order)) for order in (3, 1, 2)}
    assert _joined(files).codes[0, 0, 0].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_lost_file_of_a_set_is_named(tmp_path):
    folder = shutil.copytree(DATA / "planet", tmp_path / "planet")
    (folder / "bands_001.mkv").unlink()
    with pytest.raises(ContainerError, match="lacks video 1 of 2 of R, G, B, NIR"):
        next(find_cubes(folder)).load()


def test_a_lost_netcdf_file_is_named(tmp_path):
    folder = shutil.copytree(DATA / "planet", tmp_path / "planet")
    (folder / "x.nc").unlink()
    with pytest.raises(ContainerError, match=r"one NetCDF file, .* has 0"):
        next(find_cubes(folder)).load()


def test_image_sequences_are_refused_in_words(tmp_path):
    folder = shutil.copytree(DATA / "planet", tmp_path / "planet")
    (folder / "bands_000000.jp2").write_bytes(b"\0\0\0\x0cjP  ")
    with pytest.raises(PlanError, match="JPEG 2000"):
        next(find_cubes(folder)).load()


def test_normalised_codes_span_the_range():
    codes = np.array([[0, 4095]], np.uint16)
    values = denormalize(codes, np.array([[-1.0, 3.0], [-1.0, 3.0]]), 12)
    assert values.dtype == np.float32
    assert values.tolist() == [[-1.0, 3.0]]


def test_a_pca_whose_components_fill_no_file_is_undone():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0][:4].astype("f4")
    pca = Pca(matrix=basis, mean=np.arange(5, dtype="f4"))
    components = rng.normal(size=(2, 3, 3, 4)).astype("f4")
    padded = np.concatenate([components, components[..., [-1, -1]]], axis=-1)
    np.testing.assert_allclose(pca.inverse(padded), components @ basis + np.arange(5), atol=1e-5)


# Archives of version 1.


def _tortilla(path: Path, members: dict[str, bytes], *, magic=b"#y", nested=(), **columns) -> Path:
    """Write an archive as pytortilla does: 200 bytes of header, the files, the table."""
    pa = pytest.importorskip("pyarrow")
    offset, rows = 200, []
    for name, data in members.items():
        kind = "TORTILLA" if name in nested else "BYTES"
        rows.append(
            {"tortilla:id": name, "tortilla:file_format": kind, "tortilla:offset": offset,
             "tortilla:length": len(data), **columns}
        )  # fmt: skip
        offset += len(data)
    sink = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    table = sink.getvalue()
    header = magic + offset.to_bytes(8, "little") + len(table).to_bytes(8, "little")
    body = b"".join(members.values())
    path.write_bytes(header.ljust(200, b"\0") + body + table)
    return path


@pytest.fixture
def taco(tmp_path) -> Path:
    """An archive of two archives of a cube each, files without suffixes, as published."""
    pytest.importorskip("pyarrow.parquet")
    inner = {}
    for cube in ("minicube", "planet"):
        files = sorted((DATA / cube).glob("*.mkv"))
        members = {path.stem[:-4] + path.stem[-1]: path.read_bytes() for path in files}
        members["metadata"] = (DATA / cube / "x.nc").read_bytes()
        inner[cube] = _tortilla(tmp_path / f"{cube}.tortilla", members).read_bytes()
    outer = tmp_path / "both.taco"
    _tortilla(outer, inner, magic=b"WX", nested=inner, **{"tortilla:data_split": "train"})
    for cube in inner:
        (tmp_path / f"{cube}.tortilla").unlink()
    return outer


def test_cubes_in_nested_archives_are_those_of_the_folders(taco):
    cubes = list(find_cubes(taco))
    assert [each.id for each in cubes] == ["minicube", "planet"]
    for cube in cubes:
        assert cube.columns["tortilla:data_split"] == "train"
        assert cube.load().equals(_cube(cube.id))


def test_an_archive_is_read_by_range_over_a_url(taco):
    import fsspec

    fsspec.filesystem("memory").pipe_file("/seed/both.taco", taco.read_bytes())
    cube = list(find_cubes("memory://seed/both.taco"))[1]
    assert cube.load().equals(_cube("planet"))


def test_a_folder_of_folders_and_archives_is_walked(taco, tmp_path):
    shutil.copytree(DATA / "early", tmp_path / "more" / "early")
    assert [c.id for c in find_cubes(tmp_path)] == ["minicube", "planet", "early"]


@pytest.mark.parametrize("cut", [10, 150, 20_000])
def test_a_cut_archive_is_refused(taco, cut):
    data = taco.read_bytes()
    with pytest.raises(ContainerError):
        read_members(BufferSource(data[:cut]))


def test_members_outside_of_the_files_are_refused(tmp_path):
    path = _tortilla(tmp_path / "a.tortilla", {"x": b"12345"})
    data = path.read_bytes()
    good = read_members(BufferSource(data))
    assert good[0].source.read(0, 5) == b"12345"
    table = int.from_bytes(data[2:10], "little")
    moved = data[:2] + (table - 3).to_bytes(8, "little") + data[10:]
    with pytest.raises(ContainerError):
        read_members(BufferSource(moved))


def test_archives_in_themselves_are_not_followed_for_ever(tmp_path):
    data = _tortilla(tmp_path / "0.tortilla", {"x": b"12345"}).read_bytes()
    for _ in range(6):
        data = _tortilla(tmp_path / "0.tortilla", {"in": data}, nested=("in",)).read_bytes()
    with pytest.raises(ContainerError, match="more than 4 archives"):
        list(find_cubes(tmp_path / "0.tortilla"))


# Conversion.


def test_a_cube_becomes_netcdf_with_its_values(tmp_path):
    (done,) = import_xarrayvideo(DATA / "minicube", tmp_path / "c.nc")
    assert done.error is None
    assert done.nbytes > 0
    with xr.open_dataset(tmp_path / "c.nc", decode_cf=False) as back:
        for name, variable in _cube("minicube").variables.items():
            assert np.array_equal(back[name].values, variable.values)


def test_without_a_target_a_cube_file_keeps_every_bit(tmp_path):
    import_xarrayvideo(DATA / "planet", tmp_path / "c.mp4")
    back = xvcomp.open(tmp_path / "c.mp4", decode_cf=False).load()
    assert back.identical(_cube("planet"))


def test_a_target_is_kept(tmp_path):
    import_xarrayvideo(DATA / "planet", tmp_path / "c.mp4", target=xvcomp.MaxError(0.01))
    back = xvcomp.open(tmp_path / "c.mp4", decode_cf=False).load()
    assert float(abs(back.R.astype("f8") - _cube("planet").R).max()) <= 0.01


def test_a_folder_is_filled_and_a_second_run_skips_what_is_there(taco, tmp_path):
    first = import_xarrayvideo(taco, tmp_path / "out", to="nc")
    again = import_xarrayvideo(taco, tmp_path / "out", to="nc")
    assert [e.skipped for e in first] == [False, False]
    assert [e.skipped for e in again] == [True, True]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"minicube.nc", "planet.nc"}


def test_one_damaged_cube_does_not_stop_the_rest(tmp_path):
    for name in ("early", "planet"):
        shutil.copytree(DATA / name, tmp_path / "in" / name)
    video = tmp_path / "in" / "early" / "sar_001.mkv"
    video.write_bytes(video.read_bytes()[:900])
    early, planet = import_xarrayvideo(tmp_path / "in", tmp_path / "out", to="nc")
    assert early.path is None
    assert "sar_001.mkv" in early.error
    assert planet.error is None


def test_an_archive_becomes_a_dataset_of_cube_files(taco, tmp_path):
    found = import_xarrayvideo(taco, tmp_path / "all.tacozip")
    assert [each.error for each in found] == [None, None]
    back = xvcomp.open(f"{tmp_path / 'all.tacozip'}::planet", decode_cf=False).load()
    assert back.identical(_cube("planet"))
    with open_taco(tmp_path / "all.tacozip") as reader:
        rows = {row["id"]: row for row in reader.rows()}
    assert {row["xarrayvideo:data_split"] for row in rows.values()} == {"train"}
    assert rows["planet"]["xarrayvideo:id"] == "planet"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_names_from_an_archive_cannot_leave_the_folder(tmp_path):
    members = {p.name: p.read_bytes() for p in (DATA / "early").iterdir() if p.suffix != ".npz"}
    inner = _tortilla(tmp_path / "i.tortilla", members).read_bytes()
    (tmp_path / "i.tortilla").unlink()
    taco = _tortilla(tmp_path / "a.taco", {"../../evil": inner}, nested=("../../evil",))
    (done,) = import_xarrayvideo(taco, tmp_path / "out", to="nc")
    assert Path(done.path).parent == tmp_path / "out"
    assert done.id == "../../evil"


def test_a_single_file_takes_a_single_cube(taco, tmp_path):
    with pytest.raises(PlanError, match=r"several cubes \(minicube, planet"):
        import_xarrayvideo(taco, tmp_path / "c.nc")
    (done,) = import_xarrayvideo(taco, tmp_path / "c.nc", ids=["plan*"])
    assert done.id == "planet"
    with pytest.raises(PlanError, match="no cube is called nowhere"):
        import_xarrayvideo(taco, tmp_path / "d.nc", ids=["nowhere"])


def test_a_folder_without_cubes_is_told(tmp_path):
    with pytest.raises(PlanError, match="holds no cube of xarrayvideo"):
        import_xarrayvideo(tmp_path, tmp_path / "c.nc")
    with pytest.raises(FileNotFoundError):
        import_xarrayvideo(tmp_path / "absent.taco", tmp_path / "c.nc")


def test_the_command_tells_of_each_cube_and_fails_if_one_failed(tmp_path):
    for name in ("early", "planet"):
        shutil.copytree(DATA / name, tmp_path / "in" / name)
    (tmp_path / "in" / "early" / "x.nc").unlink()
    arguments = ["import-xarrayvideo", str(tmp_path / "in"), str(tmp_path / "out"), "--to", "nc"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert "1 of 2 cubes failed; early: a cube has one NetCDF file" in done.stderr
    assert "planet" in done.stdout


# Hostile metadata.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': [1, -2.5, nan], 'b': ('x',)}", {"a": [1, -2.5, np.nan], "b": ("x",)}),
        ("{'u': 'nanometer', 'n': None, 't': True}", {"u": "nanometer", "n": None, "t": True}),
        ("np.float32(0.5)", np.float32(0.5)),
        ("{'v': array([0, 1], dtype=uint8)}", {"v": np.array([0, 1], np.uint8)}),
        ("-inf", -np.inf),
    ],
)
def test_literals_are_read(text, value):
    np.testing.assert_equal(parse_literal(text), value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "[x for x in range(9)]",
        "lambda: 0",
        "np.fromfile('/etc/passwd')",
        "array([1], dtype=open('/etc/passwd'))",
        "9**9**9",
        "'a' * 10**9",
        "f'{1}'",
        "{**{'a': 1}}",
        "1j",
        "{[]: 1}",
        "[" * 500,
        "-" * 100_000 + "1",
        "[" * 90 + "]" * 90,
        "\0",
        "",
        "'" + "a" * MAX_CHARS + "'",
    ],
    ids=range(18),
)
def test_what_is_no_literal_is_refused_and_never_run(text):
    with pytest.raises(ContainerError):
        parse_literal(text)


def test_a_lenient_reading_keeps_the_text_of_what_it_does_not_know():
    text = "{'t': datetime.datetime(2020, 1, 1), 'b': __import__('os').getcwd()}"
    found = parse_literal(text, lenient=True)
    assert found["t"] == "datetime.datetime(2020, 1, 1)"
    assert found["b"] == "__import__('os').getcwd()"


def test_a_tag_that_calls_functions_is_not_run(tmp_path):
    proof = tmp_path / "proof"
    tag = f"{{'BANDS': open({str(proof)!r}, 'w')}}"
    path = _retagged(DATA / "early" / "sar_001.mkv", tmp_path / "evil.mkv", tag)
    with pytest.raises(ContainerError, match=r"evil\.mkv: metadata that cannot be read"):
        read_video(path)
    assert not proof.exists()


def _retagged(source: Path, path: Path, tag: str | None) -> Path:
    with av.open(str(source)) as given, av.open(str(path), "w", format="matroska") as made:
        if tag is not None:
            made.metadata["XARRAY"] = tag
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    return path


def _tag_text(**changes: object) -> str:
    with av.open(str(DATA / "early" / "sar_001.mkv")) as container:
        return str(parse_literal(container.metadata["XARRAY"]) | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"FRAMES": "2"}, "holds more frames, its tag says 2"),
        ({"FRAMES": "7"}, "holds 3 frames, its tag says 7"),
        ({"FRAMES": "9" * 30}, "would take .* bytes"),
        ({"FRAMES": "-1"}, "not a number from 1"),
        ({"OUT_PIX_FMT": "nv12"}, "'nv12' is not read; known: gray"),
        ({"BITS": 8}, "gbrp12le does not hold 8 bits"),
        ({"CHANNEL_ORDER": "xyz"}, "not an order of rgb"),
        ({"RANGE": "[[0, 1, 2]]"}, "RANGE has 3 columns"),
        ({"RANGE": "[['a', 1]]"}, "no number"),
        ({"BANDS": "7"}, "BANDS is not a list"),
        ({"COORDS_DIMS": "('x', 'x', 'y')"}, "3 or 4 different"),
        ({"PCA_PARAMS": "{'scaler': '{}', 'dr': '{}'}"}, "cannot be undone"),
    ],
)
def test_tags_that_say_what_cannot_be_are_refused(changes, expected, tmp_path):
    path = _retagged(DATA / "early" / "sar_001.mkv", tmp_path / "a.mkv", _tag_text(**changes))
    with pytest.raises(ContainerError, match=expected):
        read_video(path)


def test_a_video_of_someone_else_is_refused(tmp_path):
    path = _retagged(DATA / "early" / "sar_001.mkv", tmp_path / "a.mkv", None)
    with pytest.raises(ContainerError, match="no tag XARRAY"):
        read_tag(path)
    (tmp_path / "b.mkv").write_bytes(b"\x1a\x45\xdf\xa3 and nothing more")
    with pytest.raises(ContainerError, match="is not a video"):
        read_tag(tmp_path / "b.mkv")


def test_importing_the_package_loads_no_video_library():
    code = "import sys, xvcomp.importing.literals; assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

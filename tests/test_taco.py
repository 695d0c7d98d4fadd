"""TACO datasets: what the format's own reader makes of ours, and reading cubes in place."""

import hashlib
import json
import pickle
import random
import subprocess
import sys
import threading
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from test_remote import Server

import xvcomp
from xvcomp.containers.abc import ByteRange
from xvcomp.containers.source import open_source
from xvcomp.errors import ContainerError, PlanError, XvcompError
from xvcomp_cli.main import cli

pa = pytest.importorskip("pyarrow")

from xvcomp.containers import taco  # noqa: E402
from xvcomp.containers.taco import part as part_module  # noqa: E402
from xvcomp.containers.taco import zip_stream  # noqa: E402
from xvcomp.containers.taco.address import from_vsi, split_member, to_vsi  # noqa: E402
from xvcomp.containers.taco.extent import pack_point, unpack_point  # noqa: E402
from xvcomp.containers.taco.layout import INDEX_RECORD, Index, record_of, sorted_index  # noqa: E402
from xvcomp.cube_columns import cube_columns, load_columns  # noqa: E402
from xvcomp.stac_columns import stac_columns  # noqa: E402

GIB = 1 << 30
COLLECTION = taco.Collection(id="test", licenses=("CC0-1.0",))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Cubes:
    """Files that stand in for cubes, with side files, in no order."""

    def __init__(self, folder: Path, count: int = 24):
        self.folder, rng = folder, random.Random(7)
        self.ids = [f"cube_{i:03d}" for i in range(count)]
        rng.shuffle(self.ids)
        self.bytes = {}
        for name in self.ids:
            for suffix in (".mp4", "_mask.tif", ".json"):
                data = rng.randbytes(rng.randrange(1, 4000))
                (folder / f"{name}{suffix}").write_bytes(data)
                self.bytes[name, {".json": "cube.json"}.get(suffix, suffix.lstrip("_"))] = data

    def samples(self, *, nested: bool = False):
        for k, name in enumerate(self.ids):
            beside = (self.folder / f"{name}_mask.tif", self.folder / f"{name}.json")
            yield taco.TacoSample(
                id=name,
                path=self.folder / f"{name}.mp4",
                side_files=beside if nested else (),
                columns={
                    "cloud": None if k < 3 else k / 7,
                    "split": "train" if k % 2 else "test",
                    "stac:time_start": datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=k),
                    "stac:centroid": pack_point(10 + k, 50 - k),
                },
            )

    def cube(self, name: str) -> bytes:
        return self.bytes[name, ".mp4"]

    def file(self, name: str, inner: str) -> bytes:
        return self.bytes[name, ".mp4" if inner == "cube.mp4" else inner]


@pytest.fixture(scope="module")
def cubes(tmp_path_factory) -> Cubes:
    return Cubes(tmp_path_factory.mktemp("cubes"))


@pytest.fixture(scope="module", params=["one file", "one, nested", "parts", "parts, nested"])
def dataset(request, cubes, tmp_path_factory):
    """A dataset in each layout: (paths, nested)."""
    nested, parts = "nested" in request.param, "parts" in request.param
    target = tmp_path_factory.mktemp("taco") / "data.tacozip"
    limit = (60_000 if nested else 40_000) if parts else None
    paths = taco.write_taco(target, cubes.samples(nested=nested), COLLECTION, part_nbytes=limit)
    assert (len(paths) > 1) == parts
    return paths, nested


def source_of(paths: list[Path]) -> Path:
    return paths[0] if len(paths) == 1 else paths[0].parent


def payload(vsi_path: str) -> bytes:
    """Read what a GDAL path names, by Python's own means."""
    place, path = vsi_path.removeprefix("/vsisubfile/").split(",", 1)
    offset, nbytes = map(int, place.split("_"))
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(nbytes)


# --- the format's own reader -------------------------------------------------------------


def tacoreader_views(paths):
    """Every way to open a dataset with tacoreader."""
    tacoreader = pytest.importorskip("tacoreader")
    import duckdb
    from tacoreader.storage.base import TacoBackend

    with pytest.MonkeyPatch.context() as patch:
        # Each load would fetch DuckDB's spatial extension from the network.
        connect = lambda _: duckdb.connect(":memory:")  # noqa: E731
        patch.setattr(TacoBackend, "_setup_duckdb_connection", connect)
        views = [tacoreader.load(str(source_of(paths)))]
        if len(paths) > 1:
            views.append(tacoreader.load([str(path) for path in paths]))
    return views


@pytest.fixture(scope="module")
def views(dataset):
    return tacoreader_views(dataset[0])


def test_tacoreader_reads_every_payload(dataset, views, cubes):
    _, nested = dataset
    for view in views:
        assert len(view.data) == len(cubes.ids)
        for name in cubes.ids:
            found = view.read(name)
            if not nested:
                assert payload(found) == cubes.cube(name)
                continue
            for inner in ("cube.mp4", "mask.tif", "cube.json"):
                assert payload(found.read(inner)) == cubes.file(name, inner)


def test_tacoreader_flattens_and_queries_every_payload(dataset, views, cubes):
    _, nested = dataset
    own = "l1" if nested else "l0"
    for view in views:
        rows = view.flatten().to_pylist()
        assert len(rows) == len(cubes.ids) * (3 if nested else 1)
        for row in rows:
            name, inner = row["l0:id"], row["l1:id"] if nested else "cube.mp4"
            assert payload(row["gdal_vsi"]) == cubes.file(name, inner)
            assert row[f"{own}:xvcomp:sha256"] == sha256(cubes.file(name, inner))
        query = f'SELECT "{own}:internal:gdal_vsi" v, "{own}:xvcomp:sha256" s FROM {own}'
        found = view.sql(query).to_pylist()
        assert len(found) == len(rows)
        assert all(sha256(payload(row["v"])) == row["s"] for row in found)


def test_tacoreader_filters_by_our_times(views):
    for view in views:
        assert len(view.filter_datetime("2020-01-05/2020-01-09").data) == 5
        assert view.id == "test"
        assert view.licenses == ["CC0-1.0"]


# --- the archive -------------------------------------------------------------------------


def test_every_part_is_a_sound_zip_file(dataset):
    for path in dataset[0]:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist()[0] == "TACO_HEADER"
            assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}


def test_parts_keep_to_their_size(tmp_path, cubes):
    paths = taco.write_taco(tmp_path / "d.tacozip", cubes.samples(), COLLECTION, part_nbytes=40_000)
    assert [path.name for path in paths] == [
        f"d_part{i + 1:04d}.tacozip" for i in range(len(paths))
    ]
    assert max(path.stat().st_size for path in paths) < 44_000


def test_more_members_than_a_plain_zip_counts(tmp_path, cubes):
    count, tiny = 66_000, cubes.folder / "tiny.mp4"
    tiny.write_bytes(b"tiny")
    samples = (taco.TacoSample(id=f"s{i}", path=tiny) for i in range(count))
    (found,) = taco.write_taco(tmp_path / "many.tacozip", samples, COLLECTION)
    with zipfile.ZipFile(found) as archive:
        assert len(archive.infolist()) == count + 4
        assert archive.read(f"DATA/s{count - 1}") == b"tiny"
    with taco.open_taco(found) as reader:
        assert len(reader) == count
        assert reader.open("s65999").read(0, 4) == b"tiny"


class _Sparse(zip_stream.StoredZip):
    """Leaves a hole of 5 GiB behind the header, which takes no room on the disk."""

    def add(self, name, nbytes, chunks):
        place = super().add(name, nbytes, chunks)
        if name == "TACO_HEADER":
            self.position += 5 * GIB
            self._file.seek(self.position)
        return place


def test_places_beyond_4_gib_are_found_by_everyone(tmp_path, cubes, monkeypatch):
    monkeypatch.setattr(part_module, "StoredZip", _Sparse)
    (path,) = taco.write_taco(tmp_path / "big.tacozip", cubes.samples(), COLLECTION)
    assert path.stat().st_size > 5 * GIB
    name = cubes.ids[0]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read(f"DATA/{name}") == cubes.cube(name)
    with taco.open_taco(path) as reader:
        place = reader.locate(name)
        assert place.offset > 5 * GIB
        assert payload(place.vsi_path) == cubes.cube(name)
    for view in tacoreader_views([path]):
        assert payload(view.read(name)) == cubes.cube(name)


def test_members_beyond_4_gib_say_so_in_64_bits(tmp_path, cubes, monkeypatch):
    # 1 KB stands for 4 GiB: what is larger must be told in the extra fields.
    monkeypatch.setattr(zip_stream, "MAX_32", 1000)
    (path,) = taco.write_taco(tmp_path / "big.tacozip", cubes.samples(), COLLECTION)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert len(archive.infolist()) == len(cubes.ids) + 4
    with taco.open_taco(path) as reader:
        for name in cubes.ids:
            assert reader.open(name).read(0, len(cubes.cube(name))) == cubes.cube(name)


def test_a_member_that_changes_while_it_is_read_is_refused(tmp_path):
    with (tmp_path / "a.zip").open("wb") as file:
        archive = zip_stream.StoredZip(file)
        with pytest.raises(ContainerError, match="changed while it was read: 3 bytes, not 5"):
            archive.add("x", 5, [b"abc"])


# --- writing -----------------------------------------------------------------------------


def test_samples_are_copied_one_at_a_time(tmp_path):
    """Each file may go before the next one comes: nothing waits in memory or on disk."""
    source = tmp_path / "cube.mp4"

    def samples():
        for i in range(20):
            assert not source.exists()
            source.write_bytes(bytes([i]) * 1000)
            yield taco.TacoSample(id=f"c{i}", path=source)
            source.unlink()

    (path,) = taco.write_taco(tmp_path / "d.tacozip", samples(), COLLECTION)
    with taco.open_taco(path) as reader:
        assert reader.open("c7").read(0, 1000) == b"\7" * 1000


def test_equal_samples_make_equal_bytes(tmp_path, cubes):
    first = taco.write_taco(tmp_path / "a.tacozip", cubes.samples(nested=True), COLLECTION)
    second = taco.write_taco(tmp_path / "b.tacozip", cubes.samples(nested=True), COLLECTION)
    assert first[0].read_bytes() == second[0].read_bytes()


@pytest.mark.parametrize("limit", [None, 20_000])
def test_a_failure_leaves_nothing_behind(tmp_path, cubes, limit):
    def failing():
        yield from list(cubes.samples())[:20]
        raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError):
        taco.write_taco(tmp_path / "d.tacozip", failing(), COLLECTION, part_nbytes=limit)
    assert list(tmp_path.iterdir()) == []


STALL = """
import sys, time
from pathlib import Path
from xvcomp.containers import taco
def samples():
    yield taco.TacoSample(id="a", path=Path(sys.argv[1]))
    print("at work", flush=True)
    time.sleep(60)
taco.write_taco(sys.argv[2], samples(), taco.Collection(id="c"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="tells living writers by POSIX locks")
def test_what_a_killed_writer_left_goes_with_the_next_write_and_no_sooner(tmp_path, cubes):
    target = tmp_path / f"{'ä' * 100}.tacozip"
    cube = next(cubes.samples()).path
    words = [sys.executable, "-c", STALL, str(cube), str(target)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"at work\n"
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(f".{'ä' * 40}.taco-")
        taco.write_taco(target, cubes.samples(), COLLECTION)
        taco.write_taco(tmp_path / "other.tacozip", cubes.samples(), COLLECTION)
        assert left.exists()
        writer.kill()
    taco.write_taco(tmp_path / "third.tacozip", cubes.samples(), COLLECTION)
    assert left.exists()
    taco.write_taco(target, cubes.samples(), COLLECTION, overwrite=True)
    assert not left.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"other.tacozip", "third.tacozip", target.name}


def test_one_file_takes_the_place_of_the_parts_it_was(tmp_path, cubes):
    target = tmp_path / "d.tacozip"
    assert len(taco.write_taco(target, cubes.samples(), COLLECTION, part_nbytes=20_000)) > 1
    taco.write_taco(target, list(cubes.samples())[:3], COLLECTION, overwrite=True)
    assert list(tmp_path.iterdir()) == [target]
    taco.write_taco(tmp_path / "e.tacozip", cubes.samples(), COLLECTION, part_nbytes=20_000)
    taco.write_taco(target, list(cubes.samples())[:4], COLLECTION, overwrite=True)
    with taco.open_taco(tmp_path) as reader:
        assert len(reader) == len(cubes.ids)


@pytest.mark.parametrize("limit", [None, 20_000])
def test_an_old_dataset_stays_until_the_new_one_is_complete(tmp_path, cubes, limit):
    target = tmp_path / "d.tacozip"

    def write(samples, **options):
        return taco.write_taco(target, samples, COLLECTION, part_nbytes=limit, **options)

    old = write(cubes.samples())
    with pytest.raises(FileExistsError):
        write(cubes.samples())
    with pytest.raises(PlanError, match="two samples have the id"):
        write([*cubes.samples(), *cubes.samples()], overwrite=True)
    with taco.open_taco(source_of(old)) as reader:
        assert len(reader) == len(cubes.ids)
    new = write(list(cubes.samples())[:12], overwrite=True)
    with taco.open_taco(source_of(new)) as reader:
        assert len(reader) == 12
    kept = {".tacocat", *(path.name for path in new)} if limit else {target.name}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_what_cannot_be_a_dataset_is_refused(tmp_path, cubes):
    samples = list(cubes.samples())
    target = tmp_path / "d.tacozip"
    with pytest.raises(PlanError, match=r"must end in \.tacozip"):
        taco.write_taco(tmp_path / "d.zip", samples, COLLECTION)
    with pytest.raises(PlanError, match="there are no samples"):
        taco.write_taco(target, [], COLLECTION)
    with pytest.raises(FileNotFoundError, match="create it first"):
        taco.write_taco(tmp_path / "no" / "d.tacozip", samples, COLLECTION)
    nested = list(cubes.samples(nested=True))
    with pytest.raises(PlanError, match="all samples of a dataset have the same files"):
        taco.write_taco(target, [samples[0], nested[1]], COLLECTION)
    with pytest.raises(PlanError, match="all samples of a dataset have the same files"):
        taco.write_taco(target, [nested[0], samples[1]], COLLECTION)
    with pytest.raises(PlanError, match="'depth'"):
        taco.write_taco(target, _with_columns(samples, [{"depth": 1}, {"depth": "x"}]), COLLECTION)
    assert list(tmp_path.iterdir()) == []


def _with_columns(samples, columns):
    return [
        taco.TacoSample(id=sample.id, path=sample.path, columns=own)
        for sample, own in zip(samples, columns, strict=False)
    ]


def test_a_cube_that_is_not_the_promised_one_is_refused(tmp_path, cubes):
    (first, *_) = cubes.samples()
    wrong = _with_columns([first], [{"xvcomp:sha256": "0" * 64}])
    with pytest.raises(ContainerError, match="has changed"):
        taco.write_taco(tmp_path / "d.tacozip", wrong, COLLECTION)
    right = _with_columns([first], [{"xvcomp:sha256": sha256(cubes.cube(first.id))}])
    assert taco.write_taco(tmp_path / "d.tacozip", right, COLLECTION)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a::b", "a,b", "__x", "a\nb", "'"])
def test_ids_that_would_be_misread_are_refused(name, tmp_path):
    with pytest.raises(PlanError, match="id"):
        taco.TacoSample(id=name, path=tmp_path / "c.mp4")


@pytest.mark.parametrize("name", ["", "id", "type", "internal:offset", 'a"b', "a-b", "1a", "a.b"])
def test_columns_that_readers_would_trip_over_are_refused(name, tmp_path):
    with pytest.raises(PlanError, match="column"):
        taco.TacoSample(id="a", path=tmp_path / "c.mp4", columns={name: 1})


def test_columns_get_one_type_over_all_parts(tmp_path, cubes, monkeypatch):
    monkeypatch.setattr("xvcomp.containers.taco.rows._BATCH_ROWS", 2)
    zone = timezone(timedelta(hours=2))
    columns = [
        {},
        {"n": 1, "when": datetime(2020, 1, 1, 2, tzinfo=zone), "list": [1, 2]},
        {"n": 2.5, "when": datetime(2020, 1, 1), "list": np.array([1.5])},
        {"n": np.float32(3), "when": np.datetime64("2020-01-01", "ns"), "empty": None},
        {"n": np.int16(4), "list": ()},
        {"n": None, "bands": ["a", "b"], "flag": np.bool_(True)},
    ]
    samples = _with_columns(list(cubes.samples()), columns)
    paths = taco.write_taco(tmp_path / "d.tacozip", samples, COLLECTION, part_nbytes=5000)
    schemas = []
    for path in paths:
        with taco.open_taco(path) as reader:
            schemas.append(reader.columns)
    assert len(schemas) > 1
    assert all(schema == schemas[0] for schema in schemas)
    assert schemas[0]["n"] == "double"
    assert schemas[0]["when"] == "timestamp[us]"
    assert "double" in schemas[0]["list"]
    with taco.open_taco(tmp_path) as reader:
        rows = list(reader.rows(columns=["n", "when", "list", "bands", "flag", "empty"]))
    assert [row["n"] for row in rows] == [None, 1, 2.5, 3, 4, None]
    assert [row["when"] for row in rows[1:4]] == [datetime(2020, 1, 1)] * 3
    assert [row["list"] for row in rows[1:5]] == [[1, 2], [1.5], None, []]
    assert rows[5]["bands"] == ["a", "b"]
    assert rows[5]["flag"] is True


# --- the collection ----------------------------------------------------------------------


def test_the_collection_tells_where_when_and_what(dataset, cubes):
    paths, nested = dataset
    with taco.open_taco(source_of(paths)) as reader:
        found = reader.collection
        assert reader.files() == (("cube.mp4", "mask.tif", "cube.json") if nested else ())
    last = len(cubes.ids) - 1
    assert found["extent"]["spatial"] == [10, 50 - last, 10 + last, 50]
    assert found["extent"]["temporal"] == ["2020-01-01T00:00:00Z", "2020-01-24T00:00:00Z"]
    root = found["taco:pit_schema"]["root"]
    assert root == {"n": len(cubes.ids), "type": "FOLDER" if nested else "FILE"}
    fields = found["taco:field_schema"]["level0"]
    assert ["cloud", "double", ""] in fields
    assert ["stac:time_start", "timestamp[us]", "First time step, UTC"] in fields
    if len(paths) > 1:
        assert found["taco:sources"]["files"] == [path.name for path in paths]


def test_a_collection_file_may_be_toml_or_json(tmp_path):
    told = {
        "id": "x", "title": "X", "licenses": "CC-BY-4.0", "keywords": ["a"], "citation": "me",
        "providers": ["ESA", {"name": "me", "roles": ["host"], "url": "https://x.org"}],
        "extra": {"stac_version": "1.0.0"},
    }  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(told))
    (tmp_path / "c.toml").write_text(
        'id = "x"\ntitle = "X"\nlicenses = "CC-BY-4.0"\nkeywords = ["a"]\ncitation = "me"\n'
        'providers = ["ESA", {name = "me", roles = ["host"], url = "https://x.org"}]\n'
        '[extra]\nstac_version = "1.0.0"\n'
    )
    found = taco.load_collection(tmp_path / "c.toml")
    assert found == taco.load_collection(tmp_path / "c.json")
    written = found.to_dict()
    assert written["licenses"] == ["CC-BY-4.0"]
    assert written["providers"][1] == {"name": "me", "roles": ["host"], "url": "https://x.org"}
    assert written["publications"] == [{"doi": "", "citation": "me"}]
    assert written["stac_version"] == "1.0.0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "x"', "'id' is missing"),
        ('id = "x"\nlicence = "y"', "unknown key 'licence'"),
        ('id = "x"\ntitle = 3', "'title' must be text"),
        ('id = "x"\nproviders = [{url = "y"}]', "'providers'"),
        ('id = " "', "not empty"),
        ('id = "x"\n[extra]\nextent = 1', "would replace"),
        ("id = ", "cannot be read"),
    ],
)
def test_a_wrong_collection_file_is_explained(tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(PlanError, match=message):
        taco.load_collection(tmp_path / "c.toml")


# --- reading -----------------------------------------------------------------------------


def test_every_file_is_found_by_the_index_and_by_the_tables(dataset, cubes, monkeypatch):
    paths, nested = dataset
    inner = ("cube.mp4", "mask.tif", "cube.json") if nested else ()
    with taco.open_taco(source_of(paths)) as reader:
        by_index = [reader.locate(n, f) for n in cubes.ids for f in (None, *inner)]
        for name in cubes.ids:
            assert sha256(payload(reader.locate(name).vsi_path)) == sha256(cubes.cube(name))
            for file in inner:
                assert payload(reader.locate(name, file).vsi_path) == cubes.file(name, file)
        monkeypatch.setattr(type(reader._store), "find", lambda self, name: None)
        assert [reader.locate(n, f) for n in cubes.ids for f in (None, *inner)] == by_index


def test_what_is_not_in_a_dataset_is_said_so(dataset, cubes):
    with taco.open_taco(source_of(dataset[0])) as reader:
        with pytest.raises(ContainerError, match="has no sample 'cube_999'"):
            reader.open("cube_999")
        with pytest.raises(ContainerError, match=r"has no file 'x\.tif'"):
            reader.open(cubes.ids[0], "x.tif")


def test_a_window_of_a_large_index_is_enough():
    count = 200_000
    index = sorted_index(record_of(f"s{i}", ByteRange(i, i + 1), i % 7) for i in range(count))
    data, reader = index.tobytes(), Index(index.nbytes)
    for i in range(0, count, 97):
        window = reader.window(f"s{i}")
        assert window.nbytes <= 6 * 450 * INDEX_RECORD.itemsize
        part = data[window.offset : window.offset + window.nbytes]
        assert reader.find(f"s{i}", part) == (ByteRange(i, i + 1), i % 7)
    window = reader.window("absent")
    assert reader.find("absent", data[window.offset : window.offset + window.nbytes]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cloud<1", lambda k: k >= 3 and k / 7 < 1),
        ("cloud >= 2.0", lambda k: k / 7 >= 2),
        ("cloud=", lambda k: k < 3),
        ("cloud!=", lambda k: k >= 3),
        ("split=train", lambda k: k % 2 == 1),
        ("split~es", lambda k: k % 2 == 0),
        ("stac:time_start>2020-01-20Z", lambda k: k > 19),
        ("stac:time_start>2020", lambda k: k > 0),
        ("stac:time_start<2020-01", lambda k: False),
        ("xvcomp:nbytes>0.5", lambda k: True),
        ("internal:current_id==4", lambda k: k == 4),
    ],
)
def test_conditions_select_rows(dataset, cubes, text, expected):
    with taco.open_taco(source_of(dataset[0])) as reader:
        rows = reader.rows(columns=["id"], where=[taco.parse_condition(text)])
        assert [row["id"] for row in rows] == [n for k, n in enumerate(cubes.ids) if expected(k)]


def test_a_condition_looks_into_lists_of_text(tmp_path, cubes):
    path = next(cubes.samples()).path
    bands = {"a": ["B02", "B08"], "b": ["B8A"], "c": None, "d": []}
    samples = [
        taco.TacoSample(id=name, path=path, columns={"bands": listed})
        for name, listed in bands.items()
    ]
    taco.write_taco(tmp_path / "d.tacozip", samples, COLLECTION)
    with taco.open_taco(tmp_path / "d.tacozip") as reader:
        for text, expected in (("bands~B08", ["a"]), ("bands~B", ["a", "b"]), ("bands~x", [])):
            rows = reader.rows(columns=["id"], where=[taco.parse_condition(text)])
            assert [row["id"] for row in rows] == expected
        with pytest.raises(PlanError, match="cannot be compared"):
            list(reader.rows(where=[taco.parse_condition("bands=B08")]))


def test_rows_come_in_order_and_to_a_limit(dataset, cubes):
    with taco.open_taco(source_of(dataset[0])) as reader:
        assert [row["id"] for row in reader.rows()] == cubes.ids
        assert [row["id"] for row in reader.rows(limit=5)] == cubes.ids[:5]
        where = [taco.parse_condition("split=train")]
        few = list(reader.rows(columns=["id", "split"], where=where, limit=2))
        assert few == [{"id": cubes.ids[k], "split": "train"} for k in (1, 3)]
        for wrong in ("zap=1", "cloud=x", "cloud~1", "stac:centroid>1"):
            with pytest.raises(PlanError):
                list(reader.rows(where=[taco.parse_condition(wrong)]))
    with pytest.raises(PlanError, match="is not like"):
        taco.parse_condition("cloud")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("d.tacozip::a", ("d.tacozip", "a")),
        ("https://h/d.tacozip::a/m.tif", ("https://h/d.tacozip", "a/m.tif")),
        ("hf://datasets/o/n::a", ("hf://datasets/o/n", "a")),
        ("simplecache::https://h/d.tacozip::a", ("simplecache::https://h/d.tacozip", "a")),
        ("/x/.tacocat::a", ("/x/.tacocat", "a")),
        ("zip://c.mp4::https://h/cubes.zip", None),
        ("simplecache::s3://b/c.mp4", None),
        ("nowhere::a", None),
        ("d.tacozip", None),
    ],
)
def test_names_inside_of_datasets_are_told_from_chains_of_urls(text, expected):
    assert split_member(text) == expected


@pytest.mark.parametrize("name", ["/a/d.tacozip", "https://h/d.tacozip", "s3://b/d.tacozip"])
def test_gdals_names_go_both_ways(name):
    assert from_vsi(to_vsi(name, ByteRange(3, 5))) == (name, ByteRange(3, 5))
    assert from_vsi("/vsisubfile/3_5") is None


# --- cubes in place ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cube_path(tmp_path_factory) -> Path:
    """Six GOPs on a grid of UTM."""
    rng = np.random.default_rng(5)
    data = rng.normal(280, 5, (24, 2, 96, 120)).astype(np.float32)
    cube = xr.Dataset(
        {"t": (("time", "level", "y", "x"), data, {"grid_mapping": "spatial_ref"})},
        {
            "time": np.datetime64("2021-03-01", "ns") + np.arange(24) * np.timedelta64(1, "D"),
            "y": 5_600_000 - 10.0 * np.arange(96) - 5,
            "x": 500_000 + 10.0 * np.arange(120) + 5,
            "spatial_ref": ((), 0, _utm(32631)),
        },
    )
    target = tmp_path_factory.mktemp("cube") / "one.mp4"
    xvcomp.encode(cube, target, target=xvcomp.Quality(45), preset="fast", gop=4, codec="libx265")
    return target


def _utm(code: int) -> dict:
    pyproj = pytest.importorskip("pyproj")
    return pyproj.CRS.from_epsg(code).to_cf()


@pytest.fixture(scope="module")
def eager(cube_path):
    return xvcomp.open(cube_path).load()


def write_with(cube_path, folder, cubes, **options):
    samples = [*cubes.samples(), taco.TacoSample(id="one", path=cube_path)]
    return taco.write_taco(folder / "data.tacozip", samples, COLLECTION, **options)


def test_a_cube_opens_in_place(cube_path, eager, cubes, tmp_path):
    (path,) = write_with(cube_path, tmp_path, cubes)
    name = f"{path}::one"
    lazy = xvcomp.open(name)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(lazy)).load(), eager)
    xr.testing.assert_identical(xr.open_dataset(name).load(), eager)
    assert xvcomp.info(name).nbytes == cube_path.stat().st_size
    assert xvcomp.verify(name).nbytes == cube_path.stat().st_size
    with pytest.raises(ContainerError, match="has no sample 'two'"):
        xvcomp.open(f"{path}::two")
    with pytest.raises(ContainerError, match=f"{cubes.ids[0]} is not an xvcomp file"):
        xvcomp.open(f"{path}::{cubes.ids[0]}")


def test_a_relative_name_is_enough(cube_path, eager, cubes, tmp_path, monkeypatch):
    write_with(cube_path, tmp_path, cubes)
    monkeypatch.chdir(tmp_path)
    xr.testing.assert_identical(xr.open_dataset("data.tacozip::one").load(), eager)
    xr.testing.assert_identical(xvcomp.open(Path("data.tacozip::one")).load(), eager)


def test_a_cube_opens_in_a_dataset_of_parts(cube_path, eager, cubes, tmp_path):
    paths = write_with(cube_path, tmp_path, cubes, part_nbytes=50_000)
    assert len(paths) > 1
    for name in (tmp_path, tmp_path / ".tacocat"):
        xr.testing.assert_identical(xvcomp.open(f"{name}::one").load(), eager)
    with pytest.raises(ContainerError, match=r"a folder without \.tacocat"):
        taco.open_taco(cubes.folder)


def test_what_tacoreader_returns_opens(cube_path, eager, cubes, tmp_path):
    (path,) = write_with(cube_path, tmp_path, cubes)
    for view in tacoreader_views([path]):
        xr.testing.assert_identical(xvcomp.open(view.read("one")).load(), eager)
        xr.testing.assert_identical(xr.open_dataset(view.read("one")).load(), eager)


def test_a_side_file_is_read_in_place(cubes, tmp_path):
    (path,) = taco.write_taco(tmp_path / "d.tacozip", cubes.samples(nested=True), COLLECTION)
    name = cubes.ids[3]
    for file in ("cube.mp4", "mask.tif", "cube.json"):
        source = open_source(f"{path}::{name}/{file}")
        assert source.read(0, source.nbytes) == cubes.file(name, file)
        source.close()


# --- over HTTP ---------------------------------------------------------------------------


class _LazyFile:
    """A file that a server need not hold in memory."""

    def __init__(self, path):
        self._path, self._nbytes = path, path.stat().st_size

    def __len__(self):
        return self._nbytes

    def __getitem__(self, key):
        with open(self._path, "rb") as file:
            file.seek(key.start)
            return file.read(key.stop - key.start)


@pytest.fixture
def server():
    pytest.importorskip("aiohttp")
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()
    fsspec.filesystem("http").clear_instance_cache()


class _Gigabyte(_Sparse):
    """Like the above, of a gigabyte."""

    def add(self, name, nbytes, chunks):
        place = zip_stream.StoredZip.add(self, name, nbytes, chunks)
        if name == "TACO_HEADER":
            self.position += 10**9
            self._file.seek(self.position)
        return place


def test_a_time_step_out_of_a_gigabyte_takes_five_requests_and_a_megabyte(
    server, cube_path, eager, cubes, tmp_path, monkeypatch
):
    """Of cubes whose table alone is larger than a megabyte."""
    monkeypatch.setattr(part_module, "StoredZip", _Gigabyte)
    rng = random.Random(3)
    tiny = cubes.folder / "tiny.mp4"
    tiny.write_bytes(b"tiny")

    def samples():
        for i in range(3_000):
            yield taco.TacoSample(id=f"s{i}", path=tiny, columns={"noise": rng.randbytes(800)})
        yield taco.TacoSample(id="one", path=cube_path)

    (path,) = taco.write_taco(tmp_path / "data.tacozip", samples(), COLLECTION)
    assert path.stat().st_size > 10**9
    server.files["data.tacozip"] = _LazyFile(path)
    name = server.url("data.tacozip") + "::one"
    with taco.open_taco(path) as reader:
        assert reader._store.table(0).nbytes > 2 * 10**6
    step = xvcomp.open(name).isel(time=13).load()
    assert len(server.requests) <= 5
    assert server.nbytes <= 10**6
    xr.testing.assert_identical(step, eager.isel(time=13))


def test_parts_are_read_over_http(server, cube_path, eager, cubes, tmp_path):
    paths = write_with(cube_path, tmp_path, cubes, part_nbytes=50_000)
    for path in [*paths, *(tmp_path / ".tacocat").iterdir()]:
        server.files[path.relative_to(tmp_path).as_posix()] = _LazyFile(path)
    base = server.url("").rstrip("/")
    with taco.open_taco(f"{base}/.tacocat") as reader:
        assert [row["id"] for row in reader.rows(limit=2)] == cubes.ids[:2]
    server.requests.clear()
    xr.testing.assert_identical(
        xvcomp.open(f"{base}/.tacocat::one").isel(time=3).load(), eager.isel(time=3)
    )
    assert len(server.requests) <= 8
    with pytest.raises((ContainerError, FileNotFoundError)):
        taco.open_taco(f"{base}/elsewhere/.tacocat").open("one")


def test_a_large_table_over_http_is_read_by_column(server, cubes, tmp_path):
    rng = random.Random(3)
    tiny = cubes.folder / "tiny.mp4"
    tiny.write_bytes(b"tiny")
    samples = (
        taco.TacoSample(id=f"s{i}", path=tiny, columns={"noise": rng.randbytes(2000), "k": i})
        for i in range(1000)
    )
    (path,) = taco.write_taco(tmp_path / "data.tacozip", samples, COLLECTION)
    server.files["data.tacozip"] = _LazyFile(path)
    with taco.open_taco(server.url("data.tacozip")) as reader:
        where = [taco.parse_condition("k>=990")]
        assert len(list(reader.rows(columns=["id"], where=where))) == 10
    assert server.nbytes < 200_000 < path.stat().st_size


def test_memory_urls_open(cube_path, eager, cubes, tmp_path):
    (path,) = write_with(cube_path, tmp_path, cubes)
    fsspec.filesystem("memory").pipe("/taco/data.tacozip", path.read_bytes())
    xr.testing.assert_identical(xvcomp.open("memory://taco/data.tacozip::one").load(), eager)


# --- hostile files -----------------------------------------------------------------------


def _use(data: bytes, cubes: Cubes) -> None:
    """Do all that a reader does."""
    with taco.open_taco(data) as reader:
        list(reader.rows(limit=3))
        reader.checksums()
        name = cubes.ids[0]
        for file in (None, "mask.tif"):
            source = reader.open(name, file)
            source.read(0, source.nbytes)
        reader._store.find = lambda name: None
        reader.open(name, "mask.tif")


@pytest.fixture(scope="module")
def archive(cubes, tmp_path_factory) -> bytes:
    target = tmp_path_factory.mktemp("archive") / "d.tacozip"
    (path,) = taco.write_taco(target, cubes.samples(nested=True), COLLECTION)
    return path.read_bytes()


def test_a_dataset_cut_short_is_said_so(archive, cubes):
    _use(archive, cubes)
    last = archive.index(b"COLLECTION.json") + 20
    for end in (0, 1, 30, 41, 100, 156, 157, 158, 1000, len(archive) // 2, last):
        with pytest.raises(ContainerError):
            _use(archive[:end], cubes)


def test_damage_is_an_error_of_ours_or_harmless(archive, cubes):
    rng = random.Random(11)
    tables = archive.index(b"METADATA/level0")
    refused = 0
    for _ in range(150):
        data = bytearray(archive)
        for _ in range(rng.choice((1, 3))):
            place = rng.choice((rng.randrange(157), rng.randrange(tables, len(data))))
            data[place] = rng.randrange(256)
        try:
            _use(bytes(data), cubes)
        except XvcompError:
            refused += 1
    assert refused > 50


def test_other_files_are_no_datasets(tmp_path, cubes, cube_path):
    for data in (b"", b"PK\3\4" + bytes(300), cube_path.read_bytes()):
        with pytest.raises(ContainerError, match="is not a TACO dataset"):
            taco.open_taco(data)
    with pytest.raises(FileNotFoundError):
        taco.open_taco(tmp_path / "none.tacozip")
    with pytest.raises(FileNotFoundError):
        xvcomp.open(f"{tmp_path}/none.tacozip::one")


def _rewritten_table(folder: Path, column: str, value: str) -> None:
    path = folder / ".tacocat" / "level0.parquet"
    table = pa.parquet.read_table(path)
    index = table.schema.get_field_index(column)
    values = pa.array([value] * table.num_rows)
    pa.parquet.write_table(table.set_column(index, column, values), path)
    (folder / ".tacocat" / "xvcomp.index").unlink()


def test_a_dataset_whose_parts_are_not_named_is_damaged(cubes, tmp_path):
    taco.write_taco(tmp_path / "d.tacozip", cubes.samples(), COLLECTION, part_nbytes=30_000)
    for told in ('{"taco:sources": []}', "{}", "[1]", "{", '{"taco:sources": {"files": [3]}}'):
        (tmp_path / ".tacocat" / "COLLECTION.json").write_text(told)
        with pytest.raises(ContainerError, match="damaged"):
            taco.open_taco(tmp_path).open(cubes.ids[0])


def test_a_table_cannot_name_files_elsewhere(cubes, tmp_path):
    taco.write_taco(tmp_path / "d.tacozip", cubes.samples(), COLLECTION, part_nbytes=30_000)
    _rewritten_table(tmp_path, "internal:source_file", "../secret.tacozip")
    with pytest.raises(ContainerError, match="is no name of a part"):
        taco.open_taco(tmp_path).open(cubes.ids[0])


def test_an_id_cannot_leave_the_folder_of_extraction(cubes, tmp_path):
    taco.write_taco(tmp_path / "d.tacozip", cubes.samples(), COLLECTION, part_nbytes=30_000)
    _rewritten_table(tmp_path, "id", "../escaped")
    out = tmp_path / "out"
    with pytest.raises(ContainerError, match="ids are plain names"):
        list(taco.extract(taco.open_taco(tmp_path), ["../escaped"], out))
    assert not (tmp_path / "escaped.mp4").exists()


# --- columns of cubes --------------------------------------------------------------------


def test_a_cube_tells_its_columns(cube_path):
    pyproj = pytest.importorskip("pyproj")
    found = cube_columns(cube_path)
    assert found["stac:crs"] == "EPSG:32631"
    assert found["stac:geotransform"] == [500_000, 10, 0, 5_600_000, 0, -10]
    assert found["stac:tensor_shape"] == [24, 2, 96, 120]
    assert found["stac:time_start"] == datetime(2021, 3, 1, tzinfo=UTC)
    assert found["stac:time_middle"] == datetime(2021, 3, 12, 12, tzinfo=UTC)
    assert found["stac:time_end"] == datetime(2021, 3, 24, tzinfo=UTC)
    to_degrees = pyproj.Transformer.from_crs(32631, 4326, always_xy=True)
    assert unpack_point(found["stac:centroid"]) == pytest.approx(
        to_degrees.transform(500_600, 5_599_520)
    )
    assert found["xvcomp:bands"] == ["t"]
    assert found["xvcomp:codec"] == "libx265"
    assert str(found["xvcomp:pix_fmt"]).startswith("gray1")
    assert found["xvcomp:frames"] == 24
    assert found["xvcomp:gop"] == 4
    assert found["xvcomp:raw_nbytes"] > 24 * 2 * 96 * 120 * 4
    assert found["xvcomp:nbytes"] == cube_path.stat().st_size
    assert found["xvcomp:sha256"] == sha256(cube_path.read_bytes())


def test_quality_is_what_was_measured(cube_path, eager, tmp_path):
    source = eager.isel(time=slice(0, 4))
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(source, path, target=xvcomp.Quality(40), preset="fast", codec="libx265")
    for found in (cube_columns(path, report), cube_columns(path)):
        assert found["xvcomp:psnr"] == pytest.approx(min(report.set_psnr_db.values()), abs=0.01)
        assert found["xvcomp:max_error"] == pytest.approx(report.groups[0].max_error, rel=1e-6)
    xvcomp.encode(source, path, target=xvcomp.Lossless(), preset="fast", overwrite=True)
    assert cube_columns(path)["xvcomp:psnr"] == float("inf")
    assert cube_columns(path)["xvcomp:max_error"] == 0


def _grid(x, y, attrs=({}, {}), **more) -> dict:
    dataset = xr.Dataset(
        {"a": (("y", "x"), np.zeros((len(y), len(x))))},
        {"x": ("x", x, attrs[0]), "y": ("y", y, attrs[1]), **more},
    )
    return stac_columns(dataset, y_dim="y", x_dim="x", frame_dim=None)


DEGREES = ({"units": "degrees_east"}, {"standard_name": "latitude"})


def test_longitudes_up_to_360_become_centroids_of_the_western_hemisphere():
    found = _grid(268.5 + np.arange(4), 49.5 - np.arange(3), DEGREES)
    assert found["stac:crs"] == "EPSG:4326"
    assert found["stac:geotransform"] == [268, 1, 0, 50, 0, -1]
    assert unpack_point(found["stac:centroid"]) == pytest.approx((-90, 48.5))


def test_grids_that_are_not_regular_have_no_geotransform():
    found = _grid(np.array([1.0, 2, 4]), np.arange(3.0), DEGREES)
    assert found == {"stac:crs": "EPSG:4326"}
    assert _grid(np.array([1.0]), np.array([2.0])) == {}


def test_the_geotransform_attribute_serves_where_there_are_no_coordinates():
    mapping = {"GeoTransform": "10 2 0 50 0 -2", "spatial_ref": "EPSG:4326"}
    dataset = xr.Dataset({"a": (("y", "x"), np.zeros((4, 6)))}, {"spatial_ref": ((), 0, mapping)})
    found = stac_columns(dataset, y_dim="y", x_dim="x", frame_dim=None)
    assert found["stac:geotransform"] == [10, 2, 0, 50, 0, -2]
    assert unpack_point(found["stac:centroid"]) == pytest.approx((16, 46))


def test_coordinates_count_before_a_geotransform_that_a_crop_left_behind():
    mapping = {"GeoTransform": "0 1 0 90 0 -1", "spatial_ref": "EPSG:4326"}
    found = _grid(10.5 + np.arange(3), 40.5 - np.arange(3), spatial_ref=((), 0, mapping))
    assert found["stac:geotransform"] == [10, 1, 0, 41, 0, -1]


def test_swaths_have_the_centroid_of_their_middle():
    lon, lat = np.meshgrid(np.linspace(5, 9, 5), np.linspace(50, 46, 5))
    dataset = xr.Dataset(
        {"a": (("y", "x"), lon)},
        {"lon": (("y", "x"), lon, {"units": "degrees_east"}),
         "lat": (("y", "x"), lat, {"units": "degrees_north"})},
    )  # fmt: skip
    found = stac_columns(dataset, y_dim="y", x_dim="x", frame_dim=None)
    assert list(found) == ["stac:centroid"]
    assert unpack_point(found["stac:centroid"]) == (7, 48)


def test_a_time_that_is_one_number_counts():
    dataset = xr.Dataset(
        {"a": (("y", "x"), np.zeros((2, 2)))}, {"time": np.datetime64("2020-02-03T04:05", "ns")}
    )
    found = stac_columns(dataset, y_dim="y", x_dim="x", frame_dim=None)
    assert (
        found["stac:time_start"] == found["stac:time_end"] == datetime(2020, 2, 3, 4, 5, tzinfo=UTC)
    )


def test_a_users_columns_come_from_csv_or_parquet(tmp_path):
    (tmp_path / "c.csv").write_text("id,split,n,day\n007,train,1,2020-01-02\nb,,2.5,\n")
    found = load_columns(tmp_path / "c.csv")
    assert list(found) == ["007", "b"]
    assert found["007"]["split"] == "train"
    assert found["b"]["split"] is None
    assert (found["007"]["n"], found["b"]["n"]) == (1, 2.5)
    table = pa.table({"id": ["a"], "labels": [["x", "y"]]})
    pa.parquet.write_table(table, tmp_path / "c.parquet")
    assert load_columns(tmp_path / "c.parquet") == {"a": {"labels": ["x", "y"]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,split\na,train\n", "no column 'id'"),
        ("id,split\na,train\na,test\n", "twice"),
        ("id,split\na,val\n", "'val' is none of train, test, validation"),
        ("", "cannot be read"),
    ],
)
def test_wrong_columns_are_explained(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(PlanError, match=message):
        load_columns(tmp_path / "c.csv")


# --- the command line --------------------------------------------------------------------


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def packed(cube_path, tmp_path) -> Path:
    folder = tmp_path / "cubes"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / f"{name}.mp4").write_bytes(cube_path.read_bytes())
        (folder / f"{name}_mask.tif").write_bytes(name.encode())
    (tmp_path / "c.csv").write_text("id,split,stac:crs\na,train,EPSG:1\nb,test,\n")
    (tmp_path / "c.json").write_text(json.dumps({"id": "mine", "licenses": ["CC0-1.0"]}))
    done = run(
        "pack", folder, "--out", tmp_path / "data.tacozip", "--columns", tmp_path / "c.csv",
        "--collection", tmp_path / "c.json", "--side", "{id}_mask.tif", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["samples"] == 2
    return tmp_path / "data.tacozip"


def test_packed_cubes_are_listed(packed):
    rows = json.loads(run("ls", packed, "--json").stdout)
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["split"] == "train"
    assert rows[0]["stac:crs"] == "EPSG:1"
    assert rows[1]["stac:crs"] is None
    assert rows[1]["stac:time_start"] == "2021-03-01T00:00:00Z"
    assert len(rows[1]["stac:centroid"]) == 2
    text = run("ls", packed, "--where", "split=test", "--columns", "id,xvcomp:codec").stdout
    assert text.splitlines()[2].split() == ["b", "libx265"]
    assert "2 samples; the conditions hold for 1" in text
    assert "the first 1 are shown" in run("ls", packed, "--limit", 1).stdout


def test_extracted_cubes_are_the_packed_ones(packed, cube_path, tmp_path):
    out = tmp_path / "out"
    assert run("extract", packed, "b", "--out", out).exit_code == 0
    assert sorted(path.name for path in out.rglob("*")) == ["b", "cube.mp4", "mask.tif"]
    assert (out / "b" / "cube.mp4").read_bytes() == cube_path.read_bytes()
    assert (out / "b" / "mask.tif").read_bytes() == b"b"
    again = run("extract", packed, "--all", "--out", out)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert run("extract", packed, "--all", "--out", out, "--overwrite").exit_code == 0
    assert (out / "a" / "cube.mp4").exists()
    assert run("extract", packed, "--out", out).exit_code == 2


def test_samples_that_are_no_mp4_keep_their_names(cubes, cube_path, tmp_path):
    samples = [
        taco.TacoSample(id="a.tif", path=cubes.folder / f"{cubes.ids[0]}.mp4"),
        taco.TacoSample(id="b", path=cube_path),
        taco.TacoSample(id="c.mp4", path=cube_path),
    ]
    (path,) = taco.write_taco(tmp_path / "d.tacozip", samples, COLLECTION)
    with taco.open_taco(path) as reader:
        found = list(taco.extract(reader, ["a.tif", "b", "c.mp4"], tmp_path / "out"))
    assert [each.name for each in found] == ["a.tif", "b.mp4", "c.mp4"]
    assert found[0].read_bytes() == cubes.cube(cubes.ids[0])


def test_extraction_notices_damage(packed, cube_path, tmp_path):
    data = bytearray(packed.read_bytes())
    data[data.index(cube_path.read_bytes()) + 5000] ^= 1
    packed.write_bytes(data)
    done = run("extract", packed, "a", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "is damaged: its sha256" in done.stderr
    assert not list((tmp_path / "out").rglob("*.mp4"))


def test_commands_take_cubes_in_place(packed, tmp_path):
    assert "format 1" in run("info", f"{packed}::a").stdout
    assert run("decode", f"{packed}::a", tmp_path / "a.nc", "-q").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls", "{d}/none.tacozip"], "no such file"),
        (["ls", "{d}/data.tacozip", "--where", "zap=1"], "there is no column 'zap'"),
        (["ls", "{d}/data.tacozip", "--where", "zap"], "is not like"),
        (["extract", "{d}/data.tacozip", "c", "--out", "{d}/x"], "has no sample 'c'"),
        (["pack", "{d}/none.mp4", "--out", "{d}/e.tacozip"], "no such file"),
        (["pack", "{d}", "--out", "{d}/e.tacozip"], "holds no .mp4 files"),
        (["pack", "{d}/cubes", "--out", "{d}/data.tacozip"], "exists already"),
        (["pack", "{d}/cubes", "--out", "{d}/e.tacozip", "--side", "{id}.x"], "no such file"),
        (["pack", "{d}/c.csv", "--out", "{d}/e.tacozip"], "is not an xvcomp file"),
    ],
)
def test_failures_are_a_sentence(packed, tmp_path, arguments, message):
    done = run(*(each.replace("{d}", str(tmp_path)) for each in arguments))
    assert done.exit_code in (1, 2)
    assert done.stderr.startswith("xvcomp: error: ")
    assert "internal:" not in done.stderr
    assert message in done.stderr
    assert not (tmp_path / "e.tacozip").exists()


def test_without_pyarrow_the_hint_says_what_to_install(monkeypatch, cubes, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PlanError, match=r"pip install 'xvcomp\[taco\]'"):
        taco.write_taco(tmp_path / "d.tacozip", cubes.samples(), COLLECTION)

"""``xvcomp batch``: many cubes to a folder of files or one dataset, on all cores or a cluster."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import TextColumn

from .options import (
    encoding_options,
    example,
    group_option,
    json_option,
    library_keywords,
    names_option,
    overwrite_option,
    quiet_option,
    size_callback,
)
from .progress import Bar
from .render import counted, echo_json, format_bytes, table

if TYPE_CHECKING:
    from xvcomp.batch import BatchProgress, BatchResult

__all__ = ["batch"]

_LINE_SECONDS = 10.0
_FAILURES_SHOWN = 20


def _recipes(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for value in values:
        pattern, _, recipe = value.rpartition("=")
        if not pattern or not recipe:
            raise click.BadParameter(f"{value!r} is not PATTERN=RECIPE, such as '*_s1_*=sar-db'")
        found[pattern] = recipe
    return found


@click.command(
    short_help="Encode many cubes to a folder or one dataset; resumable.",
    epilog=example(
        "xvcomp batch 'cubes/*.nc' --out small --psnr 45",
        "xvcomp batch cubes --out data.tacozip --recipe sentinel2-minicube --part-size 4GB",
        "xvcomp batch @list.txt --out small --scheduler tcp://10.0.0.1:8786",
    ),
)
@click.argument("src", nargs=-1, required=True)
@click.option("--out", required=True, metavar="DST",
              help="A folder of cube files, or a dataset NAME.tacozip.")  # fmt: skip
@encoding_options
@click.option("--recipe-for", multiple=True, metavar="PATTERN=RECIPE", callback=_recipes,
              help="Another recipe for cubes whose id or source fits a pattern.")  # fmt: skip
@names_option("--dims", help="Dims that every cube must have.")
@group_option
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Processes that encode [default: one per core].")  # fmt: skip
@click.option("--cube-memory", metavar="SIZE", callback=size_callback,
              help="No cube may take more [default: a share of the memory].")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="No cube may take longer.")  # fmt: skip
@click.option("--scheduler", metavar="URL",
              help="An existing Dask cluster, whose workers see the same files.")  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="Try again what has failed before.")
@click.option("--part-size", metavar="SIZE", callback=size_callback,
              help="Cut a dataset into parts of about this size.")  # fmt: skip
@click.option("--collection", type=click.Path(path_type=Path), metavar="FILE",
              help="What a dataset says of itself: TOML or JSON.")  # fmt: skip
@click.option("--columns", type=click.Path(path_type=Path), metavar="FILE",
              help="CSV or Parquet with a column id, and more: split, labels ...")  # fmt: skip
@click.option("--keep-work", is_flag=True, help="Keep the files that a dataset was made from.")
@overwrite_option
@json_option
@quiet_option
@click.pass_context
def batch(ctx: click.Context, /, src: tuple[str, ...], out: str, **given: Any) -> None:
    """Encode all cubes of SRC, verified, to DST, on all cores or on a Dask cluster.

    SRC: files, folders, globs, URLs of them (hf://datasets/ORG/NAME/...), a dataset
    NAME.tacozip, or @FILE with one of these per line.

    Start the same command again after any interruption: finished cubes are not made
    again. A cube that fails is listed with its reason, and the others go on; the exit
    code is then 1. A report, HTML and JSON, is written beside DST.
    """
    from xvcomp.batch import run
    from xvcomp.containers.taco import load_collection
    from xvcomp.cube_columns import load_columns

    columns = None if given["columns"] is None else load_columns(given["columns"])
    collection = None if given["collection"] is None else load_collection(given["collection"])
    with _Display(quiet=given["quiet"]) as display:
        done = run(
            src,
            out,
            recipes=given["recipe_for"],
            group=given["group"],
            dims=given["dims"] or (),
            workers=given["workers"],
            cube_memory=given["cube_memory"],
            cube_seconds=given["timeout"],
            scheduler=given["scheduler"],
            retry_failed=given["retry_failed"],
            overwrite=given["overwrite"],
            keep_work=given["keep_work"],
            part_nbytes=given["part_size"],
            collection=collection,
            columns=columns,
            on_progress=display.update,
            **library_keywords(given),
        )
    if given["as_json"]:
        echo_json(done.to_dict())
    elif not given["quiet"]:
        click.echo(_text(done))
    if done.failures:
        ctx.exit(1)


class _Display(Bar):
    """Progress on stderr: a bar for a person who watches, now and then a line for a log."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(TextColumn("{task.fields[detail]}"), quiet=quiet)
        self._quiet = quiet
        self._said = -_LINE_SECONDS

    def update(self, progress: "BatchProgress") -> None:
        """Show one step."""
        if self._watched:
            if self._task is None:
                self._task = self._bar.add_task("", detail="")
            self._bar.update(
                self._task,
                description=progress.stage,
                total=progress.total or None,
                completed=progress.done + progress.failed,
                detail=_detail(progress),
            )
        elif not self._quiet and self._is_due(progress):
            click.echo(f"{progress.stage}: {_detail(progress)}", err=True)

    def _is_due(self, progress: "BatchProgress") -> bool:
        now = time.monotonic()
        if progress.stage == self._stage and now - self._said < _LINE_SECONDS:
            return False
        self._stage, self._said = progress.stage, now
        return True


def _detail(progress: "BatchProgress") -> str:
    """Say how far it is: cubes, rate, bytes, ratio, time left."""
    parts = [f"{progress.done:,} of {progress.total:,} cubes"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.fresh:
        parts.append(f"{progress.cubes_per_second:.2f} cubes/s")
    if progress.nbytes:
        raw, nbytes = format_bytes(progress.raw_nbytes), format_bytes(progress.nbytes)
        parts.append(f"{raw} -> {nbytes} ({progress.ratio:.1f} times smaller)")
    if progress.seconds_left:
        parts.append(f"{_duration(progress.seconds_left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Write a time with two units: ``3 h 05 min``, ``4 min 10 s``, ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def _text(done: "BatchResult") -> str:
    total = done.to_dict()
    lines = []
    if done.failures:
        shown = done.failures[:_FAILURES_SHOWN]
        rows = [(cube.id, str(cube.kind), str(cube.reason)) for cube in shown]
        lines += [table(("failed", "kind", "reason"), rows), ""]
        if len(done.failures) > len(shown):
            lines += [f"... and {len(done.failures) - len(shown)} more, in the report", ""]
    lines.append(
        f"{done.out}: {counted(len(done.done), 'cube')}, {len(done.failures)} failed, "
        f"{done.made} of them worked on in {_duration(done.seconds)}"
    )
    if done.done:
        lines.append(
            f"{format_bytes(total['raw_nbytes'])} in memory became "
            f"{format_bytes(total['nbytes'])}, {total['ratio']:.1f} times smaller"
        )
    if len(done.files) > 1:
        lines.append(f"parts: {', '.join(path.name for path in done.files)}")
    return "\n".join([*lines, f"report: {done.report_html}"])

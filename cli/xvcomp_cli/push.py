"""``xvcomp push``: a folder to a dataset repository on the Hugging Face Hub."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import example, json_option, quiet_option
from .progress import ProgressBar
from .render import echo_json, format_bytes

if TYPE_CHECKING:
    from xvcomp.hub import Pushed

__all__ = ["push"]


@click.command(
    short_help="Upload a folder to the Hugging Face Hub.",
    epilog=example(
        "xvcomp dataset cubes.tacozip --out ready/ --repo ORG/NAME --licence CC-BY-4.0",
        "xvcomp push ready/ ORG/NAME --private",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repo_id", metavar="ORG/NAME")
@click.option("--private/--public", "private", default=None, help="Of a repository that is new.")
@click.option("--revision", metavar="BRANCH", help="Created where it is not there. [default: main]")
@click.option("--attempts", type=click.IntRange(1), default=10, show_default=True, metavar="N",
              help="Try each step so often while the hub is busy or unreachable.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be uploaded.")
@json_option
@quiet_option
def push(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None,
    revision: str | None,
    attempts: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Upload the files of FOLDER to the dataset repository ORG/NAME, created if need be.

    What is there already is not sent again: after an interruption, start it again. The
    token is HF_TOKEN, or that of `hf auth login`.
    """
    from xvcomp.hub import push as upload

    with ProgressBar(quiet=quiet) as bar:
        done = upload(
            folder,
            repo_id,
            private=private,
            revision=revision,
            dry_run=dry_run,
            attempts=attempts,
            on_progress=bar.update,
        )
    if as_json:
        echo_json(asdict(done))
    elif not quiet:
        click.echo(_text(done))


def _text(done: "Pushed") -> str:
    verb = "to upload" if done.dry_run else "uploaded"
    lines = [f"  {name}" for name in done.uploaded] if done.dry_run else []
    there = f"; {len(done.unchanged)} were there already" if done.unchanged else ""
    total = f"{len(done.uploaded)} files, {format_bytes(done.nbytes)}, {verb}{there}"
    return "\n".join([*lines, total, f"{done.url} ({done.revision})"])

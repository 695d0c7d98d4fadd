"""``xvcomp dataset``: cubes to a folder that can be published as it is."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import example, json_option, names_option, overwrite_option, quiet_option
from .progress import ProgressBar
from .render import echo_json, format_bytes

if TYPE_CHECKING:
    from xvcomp.hub import Published

__all__ = ["dataset"]


@click.command(
    short_help="Make a folder of cubes ready to publish: card, checksums.",
    epilog=example(
        "xvcomp dataset cubes.tacozip --out ready/ --repo ORG/NAME --licence CC-BY-4.0",
        "xvcomp dataset cubes/ --out ready/ --repo ORG/NAME --licence MIT --citation paper.bib",
    ),
)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path),
              help="The folder to make.")  # fmt: skip
@click.option("--repo", "repo_id", default="ORG/NAME", metavar="ORG/NAME",
              help="Where it will be published.")  # fmt: skip
@click.option("--licence", "--license", "licence", metavar="SPDX", help="Such as CC-BY-4.0.")
@click.option("--title", metavar="TEXT", help="Of the dataset.")
@click.option("--description", "description_file", metavar="FILE", type=click.Path(path_type=Path),
              help="A text in Markdown.")  # fmt: skip
@click.option("--citation", "citation_file", metavar="FILE", type=click.Path(path_type=Path),
              help="How to cite it, in BibTeX.")  # fmt: skip
@names_option("--tags", help="More tags for the hub.")
@overwrite_option
@json_option
@quiet_option
def dataset(
    sources: tuple[Path, ...],
    *,
    out: Path,
    repo_id: str,
    licence: str | None,
    title: str | None,
    description_file: Path | None,
    citation_file: Path | None,
    tags: tuple[str, ...] | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make the folder DIR of SOURCES: a .tacozip, a folder of its parts, or cube files.

    It holds the cubes (linked, not copied, where that works), README.md with the numbers
    and how to read them, and SHA256SUMS. What is not given comes from the dataset's own
    COLLECTION.json.
    """
    from xvcomp.hub import make_dataset

    with ProgressBar(quiet=quiet) as bar:
        made = make_dataset(
            sources,
            out,
            repo_id=repo_id,
            licence=licence,
            title=title,
            description=_text_of(description_file),
            citation=_text_of(citation_file),
            tags=tags or (),
            overwrite=overwrite,
            on_progress=bar.update,
        )
    if as_json:
        echo_json(asdict(made))
    elif not quiet:
        click.echo(_text(made))


def _text_of(path: Path | None) -> str | None:
    return None if path is None else path.read_text(encoding="utf-8")


def _text(made: "Published") -> str:
    numbers = made.numbers
    lines = [
        f"{made.folder}: {made.files} files, {format_bytes(made.nbytes)}",
        f"{numbers.cubes} cubes, {numbers.ratio:.1f} times smaller than "
        f"{format_bytes(numbers.raw_nbytes)}",
    ]
    if numbers.psnr_db:
        low, _, median, _, _ = numbers.psnr_db
        lines.append(f"PSNR from {low:.2f} dB, median {median:.2f} dB")
    return "\n".join(lines)

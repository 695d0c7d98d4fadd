"""The dataset card: README.md with the front matter that the Hub reads, and the numbers."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Card", "Numbers", "card_text", "numbers_of"]

_LICENCES = {
    "apache-2.0", "bsd-3-clause", "cc", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "etalab-2.0",
    "gpl-3.0", "mit", "odbl", "odc-by", "pddl", "unknown", "unlicense",
}  # fmt: skip
"""What the Hub knows by name; others are given as free text."""

_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)  # fmt: skip
_TAGS = ("earth-observation", "datacube", "xarray", "video-compression", "xvcomp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """What a dataset amounts to.

    Parameters
    ----------
    cubes : int
    raw_nbytes, nbytes : int
        Of the arrays in memory, and of the cube files.
    psnr_db : tuple of float
        Smallest, 5 %, median, 95 % and largest PSNR of the lossy cubes (of each, that of its
        worst quality set); empty if there are none.
    lossless : int
        Cubes without any error.
    unmeasured : int
        Cubes whose files do not say how well they came back.
    variables : tuple of str
        The most frequent first, 30 at most.
    codecs : Mapping[str, int]
        Cubes by codec.
    """

    cubes: int
    raw_nbytes: int
    nbytes: int
    psnr_db: tuple[float, ...] = ()
    lossless: int = 0
    unmeasured: int = 0
    variables: tuple[str, ...] = ()
    codecs: Mapping[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times smaller the files are."""
        return self.raw_nbytes / self.nbytes if self.nbytes else math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a card tells.

    Parameters
    ----------
    title, description : str
    licence : str
        SPDX identifier, or free text.
    numbers : Numbers
    example : str
        Path in the repository, as `xvcomp.open` takes it after the repository's URL.
    repo_id : str
    citation : str or None
        BibTeX, or text.
    tags : tuple of str
    taco : bool
        The cubes are in TACO files.
    """

    title: str
    licence: str
    numbers: Numbers
    example: str
    repo_id: str = "ORG/NAME"
    description: str = ""
    citation: str | None = None
    tags: tuple[str, ...] = ()
    taco: bool = False


def numbers_of(rows: Iterable[Mapping[str, Any]]) -> Numbers:
    """Sum up the columns ``xvcomp:*`` of cubes; one at a time, so that millions fit."""
    cubes = raw = coded = lossless = unmeasured = 0
    psnr: list[float] = []
    names, codecs = Counter[str](), Counter[str]()
    for row in rows:
        cubes += 1
        raw += int(row.get("xvcomp:raw_nbytes") or 0)
        coded += int(row.get("xvcomp:nbytes") or 0)
        names.update(row.get("xvcomp:bands") or ())
        codecs[str(row.get("xvcomp:codec") or "none")] += 1
        quality = row.get("xvcomp:psnr")
        if quality is None or math.isnan(quality):
            unmeasured += 1
        elif math.isinf(quality):
            lossless += 1
        else:
            psnr.append(float(quality))
    spread = np.quantile(psnr, [0, 0.05, 0.5, 0.95, 1]).tolist() if psnr else ()
    return Numbers(
        cubes=cubes,
        raw_nbytes=raw,
        nbytes=coded,
        psnr_db=tuple(spread),
        lossless=lossless,
        unmeasured=unmeasured,
        variables=tuple(name for name, _ in names.most_common(30)),
        codecs=dict(codecs.most_common()),
    )


def card_text(card: Card) -> str:
    """Write a card."""
    parts = [
        _front_matter(card),
        f"# {_line(card.title)}",
        card.description.strip(),
        "## Numbers",
        _table(card.numbers),
        "## Reading",
        _reading(card),
        "## Integrity",
        "`SHA256SUMS` lists the checksum of every file: `sha256sum -c SHA256SUMS`. Each cube "
        "file also holds checksums of its parts, which are checked whenever it is read.",
        "## Licence",
        _line(card.licence),
    ]
    if card.citation:
        parts += ["## Citation", f"```bibtex\n{card.citation.strip()}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(card: Card) -> str:
    known = card.licence.lower()
    licence = (
        [f"license: {known}"]
        if known in _LICENCES
        else ["license: other", f"license_name: {_yaml(card.licence)}"]
    )
    tags = dict.fromkeys([*_TAGS, *(("taco",) if card.taco else ()), *card.tags])
    size = next((name for most, name in _SIZES if card.numbers.cubes < most), "n>10M")
    lines = [
        *licence,
        f"pretty_name: {_yaml(_line(card.title))}",
        "tags:",
        *(f"- {_yaml(tag)}" for tag in tags),
        "size_categories:",
        f"- {_yaml(size)}",
        "viewer: false",
    ]
    return "\n".join(["---", *lines, "---"])


def _yaml(text: str) -> str:
    """Quote text: what JSON quotes is YAML, too."""
    return json.dumps(text, ensure_ascii=False)


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(numbers: Numbers) -> str:
    rows = [
        ("cubes", f"{numbers.cubes:,}"),
        ("variables", ", ".join(numbers.variables)),
        ("arrays in memory", _size(numbers.raw_nbytes)),
        ("cube files", _size(numbers.nbytes)),
        ("ratio", f"{numbers.ratio:.1f}"),
        ("codecs", ", ".join(f"{name} ({count:,})" for name, count in numbers.codecs.items())),
    ]
    if numbers.psnr_db:
        names = ("smallest", "5 %", "median", "95 %", "largest")
        spread = zip(names, numbers.psnr_db, strict=True)
        rows.append(("PSNR, dB", "; ".join(f"{name} {value:.2f}" for name, value in spread)))
    if numbers.lossless:
        rows.append(("lossless cubes", f"{numbers.lossless:,}"))
    if numbers.unmeasured:
        rows.append(("cubes of unknown quality", f"{numbers.unmeasured:,}"))
    note = (
        "PSNR is that of a cube's worst set of variables of equal units, measured by decoding "
        "the finished file, over valid samples, with the set's data range as the peak."
    )
    body = "\n".join(f"| {name} | {value} |" for name, value in rows if value)
    return f"| | |\n|---|---|\n{body}" + (f"\n\n{note}" if numbers.psnr_db else "")


def _size(nbytes: int) -> str:
    size, units = float(nbytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"


def _reading(card: Card) -> str:
    url = f"hf://datasets/{card.repo_id}/{card.example}"
    extras = "hub,taco" if card.taco else "hub"
    lines: Sequence[str] = (
        f"```sh\npip install 'xvcomp[{extras}]'\n```",
        "Cubes are read in place, lazily, by byte range; nothing has to be downloaded first:",
        "```python\nimport xvcomp\n\n"
        f"cube = xvcomp.open({json.dumps(url)})\n"
        "frame = cube.isel(time=0).load()  # fetches one group of frames\n```",
        '`xarray.open_dataset(..., engine="xvcomp")` takes the same address.',
    )
    if card.taco:
        dataset = url.rpartition("::")[0]
        lines = (*lines, f"`xvcomp ls {dataset}` lists the cubes and their columns.")
    return "\n\n".join(lines)

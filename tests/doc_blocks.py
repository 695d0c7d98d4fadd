"""Find the blocks of a Markdown page, and run them: ``python doc_blocks.py PAGE [LINE]``.

As a program it runs a page's ``python`` and ``console`` blocks in order, in the folder where
it is started; the Python blocks of a page share their names, as in a session. With a line it
runs the block that starts there, alone. Blocks of any other kind (``sh``, ``text``, ``py``)
are only shown to readers.
"""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", flags=re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its first line, from 1."""

    language: str
    text: str
    line: int


def blocks(page: Path, *languages: str) -> list[Block]:
    """List the blocks of some languages, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text[: match.start()].count("\n") + 2
        found.append(Block(match["language"], match["text"], line))
    return [block for block in found if block.language in languages]


def commands(block: Block) -> list[list[str]]:
    """Return the arguments of each ``$ xvcomp`` line of a console block."""
    lines = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
    split = [shlex.split(line) for line in lines]
    if not split or any(words[0] != "xvcomp" for words in split):
        raise ValueError(f"line {block.line}: a console block is of `$ xvcomp ...` lines")
    return [words[1:] for words in split]


def run_page(page: Path, only: int | None = None) -> None:
    """Run a page, or the block at one line; raises whatever its blocks raise."""
    names = {"__name__": "__main__"}
    for block in blocks(page, "python", "console"):
        if only not in (None, block.line):
            continue
        print(f"--- {page.name}, line {block.line}", flush=True)
        if block.language == "python":
            # Padded, so that a traceback names the line of the page.
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, names)
        else:
            for arguments in commands(block):
                _run_command(arguments)


def _run_command(arguments: list[str]) -> None:
    from xvcomp_cli.main import main

    try:
        main(arguments)
    except SystemExit as done:
        if done.code:
            raise RuntimeError(f"xvcomp {shlex.join(arguments)} exited with {done.code}") from None


if __name__ == "__main__":
    run_page(Path(sys.argv[1]), *map(int, sys.argv[2:]))

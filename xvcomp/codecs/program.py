"""The system's FFmpeg program: where it is, which version, and what its encoders take.

It is ``$XVCOMP_FFMPEG``, or else the ``ffmpeg`` on the search path. FFmpeg's libraries
inside PyAV are something else, and are always there.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from ..errors import CodecUnavailable

__all__ = ["Program", "find_program"]

_SECONDS = 20.0
_INSTALL = "install FFmpeg, or name its program in XVCOMP_FFMPEG"


@dataclass(frozen=True, slots=True)
class Program:
    """An FFmpeg program on this machine."""

    path: str
    version: str
    stamp: str
    """Changes with the program: its size and its time of change."""

    def formats(self, encoder: str) -> frozenset[str]:
        """Return the pixel formats that an encoder takes.

        Raises
        ------
        CodecUnavailable
            If the program has no such encoder.
        """
        return _formats(self, encoder)

    def has_option(self, encoder: str, option: str) -> bool:
        """Say whether an encoder has an option of its own."""
        return bool(re.search(rf"^\s+-{re.escape(option)}\s", _help(self, encoder), re.MULTILINE))


def find_program() -> Program:
    """Find FFmpeg.

    Raises
    ------
    CodecUnavailable
        If there is none, or it does not run.
    """
    given = os.environ.get("XVCOMP_FFMPEG")
    path = shutil.which(given or "ffmpeg")
    if path is None:
        what = (
            f"XVCOMP_FFMPEG is {given!r}, which is no program" if given else "none is on the PATH"
        )
        raise CodecUnavailable(f"it needs the ffmpeg program: {what}; {_INSTALL}")
    status = os.stat(path)
    found = _asked(path, f"{status.st_size}-{status.st_mtime_ns}")
    if isinstance(found, str):
        raise CodecUnavailable(found)
    return found


@cache
def _asked(path: str, stamp: str) -> Program | str:
    """Ask once, and keep the reason of a failure, too: a program may take long to say nothing."""
    try:
        text = _output(path, "-version")
    except CodecUnavailable as error:
        return str(error)
    found = re.match(r"ffmpeg version (\S+)", text)
    if not found:
        answer = f"it answers {text[:40]!r}" if text else "it answers nothing"
        return f"{path} is no FFmpeg: {answer}; {_INSTALL}"
    return Program(path, found[1], stamp)


@cache
def _help(program: Program, encoder: str) -> str:
    return _output(program.path, "-hide_banner", "-h", f"encoder={encoder}")


def _formats(program: Program, encoder: str) -> frozenset[str]:
    found = re.search(r"Supported pixel formats: (.+)", _help(program, encoder))
    if not found:
        raise CodecUnavailable(
            f"{program.path} (FFmpeg {program.version}) was built without this encoder: install "
            f"one that has {encoder}, or name it in XVCOMP_FFMPEG"
        )
    return frozenset(found[1].split())


def _output(path: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CodecUnavailable(
            f"{path} does not answer within {_SECONDS:.0f} s; {_INSTALL}"
        ) from None
    except OSError as error:
        raise CodecUnavailable(f"{path} cannot be started: {error}; {_INSTALL}") from error
    return done.stdout.decode(errors="replace")

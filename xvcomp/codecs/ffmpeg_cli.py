"""Encoders of the system's FFmpeg program, for those that PyAV's build lacks.

Raw planes go in and a stream comes out by pipe; no file is written and no shell reads the
command, which ffmpeg-python (the extra ``ffmpeg``) builds. What comes out is taken apart
and checked like the output of any other codec. Decoding is done by PyAV.
"""

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..errors import CodecError, CodecUnavailable
from ..spec import Planes
from ._frames import Carrier, raw_frame
from .abc import StreamParams
from .processes import run, stall_seconds
from .program import Program, find_program
from .pyav import PyavCodec
from .remux import to_segment

__all__ = ["CliCodec"]


class CliCodec(PyavCodec):
    """An encoder that the ``ffmpeg`` program of this machine drives.

    Parameters
    ----------
    name : str
        FFmpeg's name of the encoder.
    """

    via: ClassVar[str] = "ffmpeg"
    intra: ClassVar[bool] = False
    """Whether every frame stands alone."""
    carriage: ClassVar[str] = "nut"
    """FFmpeg's name of the container in which the stream leaves the program."""

    @property
    def ffmpeg_name(self) -> str:
        """The encoder's name in FFmpeg."""
        return self.name

    @abstractmethod
    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Translate ``params`` to options of the program for this encoder."""

    def before_input(self) -> Mapping[str, str]:
        """Return global options that stand before the input, such as a device."""
        return {}

    def program(self) -> Program:
        """Return the program that runs the encoder."""
        return find_program()

    def stamp(self) -> str:
        """Name the program, its version and its time."""
        try:
            program = self.program()
        except CodecUnavailable as error:
            return str(error)
        return f"{program.path} {program.version} {program.stamp}"

    def missing(self) -> str | None:
        """Say which part is missing: the program, its encoder or ffmpeg-python."""
        try:
            _ffmpeg_python()
            self.listed_formats()
        except CodecUnavailable as error:
            return str(error)
        return None

    def listed_formats(self) -> frozenset[str]:
        """Ask the program which pixel formats the encoder takes."""
        return self.program().formats(self.ffmpeg_name)

    def run(
        self, planes: Planes, carrier: Carrier, params: StreamParams
    ) -> tuple[bytes, list[bool]]:
        """Run the program once."""
        n_frames, height, width = planes[0].shape
        finished = run(
            self.command(carrier, params, height, width),
            (raw_frame(planes, index, carrier) for index in range(n_frames)),
            name=self.name,
            stall=stall_seconds(sum(plane.size for plane in planes)),
            env={**os.environ, "SVT_LOG": "1", "AV_LOG_FORCE_NOCOLOR": "1"},
        )
        if finished.status != 0:
            raise CodecError(f"{self.name} failed, {finished.why}")
        return to_segment(finished.stdout, name=self.name, gop=params.gop, intra=self.intra)

    def command(self, carrier: Carrier, params: StreamParams, height: int, width: int) -> list[str]:
        """Return the whole command line: raw frames on stdin, a stream on stdout."""
        ffmpeg = _ffmpeg_python()
        before = {
            "f": "rawvideo",
            "pix_fmt": carrier.pix_fmt,
            "s": f"{width}x{height}",
            "framerate": "1",
            "color_range": "pc",
        }
        after = {
            "c:v": self.ffmpeg_name,
            "color_range": "pc",
            "threads": str(params.threads),
            **self.options(params, height, width),
            "f": self.carriage,
        }
        stream = ffmpeg.output(ffmpeg.input("pipe:0", **before), "pipe:1", **after)
        head, *rest = ffmpeg.compile(stream, cmd=self.program().path)
        return [head, "-v", "error", "-nostdin", *_flat(self.before_input()), *rest]


def _flat(options: Mapping[str, str]) -> Iterator[str]:
    for key, value in options.items():
        yield f"-{key}"
        if value:
            yield value


def _ffmpeg_python() -> Any:
    try:
        import ffmpeg
    except ImportError:
        raise CodecUnavailable(
            "encoders of the ffmpeg program need ffmpeg-python: pip install 'xvcomp[ffmpeg]'"
        ) from None
    return ffmpeg

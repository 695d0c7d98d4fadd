"""The ``xvcomp`` command group, and how errors become one sentence and an exit code."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from xvcomp.version import __version__

from . import (
    batch,
    codecs,
    dataset,
    decode,
    demo,
    encode,
    eval,
    extract,
    import_xarrayvideo,
    info,
    ls,
    pack,
    plan,
    preview,
    push,
    recipes,
    sweep,
    verify,
    view,
)

__all__ = ["cli", "main"]

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


class _Cli(click.Group):
    """A group whose failures are a sentence on stderr: never a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        try:
            result = super().main(args, prog_name, complete_var, False, **extra)
        except BaseException as error:
            if not standalone_mode or isinstance(error, SystemExit):
                raise
            if os.environ.get("XVCOMP_DEBUG") == "1":
                traceback.print_exc()
            sys.exit(_report(error))
        # Commands return None; click returns the code of --help and --version here.
        sys.exit(result if isinstance(result, int) else 0)


def _report(error: BaseException) -> int:
    """Print what went wrong; return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return _USAGE
    message, code = _explain(error)
    click.echo(f"xvcomp: error: {' '.join(message.split())}", err=True)
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    from xvcomp.errors import XvcompError

    match error:
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "xvcomp"
            text, code = f"{error.format_message()} (see `{where} --help`)", _USAGE
        case click.ClickException():
            text, code = error.format_message(), error.exit_code
        case KeyboardInterrupt() | click.Abort():
            text, code = "interrupted; nothing half-written was left behind", _INTERRUPTED
        case FileExistsError():
            name = f"{error.filename} exists already" if error.filename else str(error)
            text, code = f"{name}; give another name, or --overwrite to replace it", _FAILED
        case OSError() if error.strerror:
            name = f"{error.filename}: " if error.filename else ""
            text, code = f"{name}{error.strerror}", _FAILED
        case XvcompError() | OSError():
            text, code = str(error), _FAILED
        case MemoryError():
            text, code = "out of memory; choose fewer variables with --vars", _FAILED
        case _:
            where = "XVCOMP_DEBUG=1 shows where"
            text, code = f"internal: {type(error).__name__}: {error} ({where})", _FAILED
    return text, code


@click.group(
    name="xvcomp",
    cls=_Cli,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: xvcomp encode cube.nc cube.mp4 --psnr 45",
)
@click.version_option(__version__, prog_name="xvcomp")
def cli() -> None:
    """Store datacubes as video, and get them back with promises kept."""


for _command in (
    encode.encode,
    decode.decode,
    info.info,
    verify.verify,
    eval.evaluate,
    sweep.sweep,
    batch.batch,
    pack.pack,
    ls.ls,
    extract.extract,
    preview.preview,
    view.view,
    plan.plan,
    dataset.dataset,
    push.push,
    import_xarrayvideo.import_xarrayvideo,
    recipes.recipes,
    codecs.codecs,
    demo.demo,
):
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # A job scheduler's kill unwinds like Ctrl-C, so that temporary files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli.main(args=args, prog_name="xvcomp")

"""Run a function in a child process: encoders can crash, and one crash is one point."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar, cast

__all__ = ["CrashError", "run_isolated"]

T = TypeVar("T")


class CrashError(RuntimeError):
    """The function raised, or its process died."""


def run_isolated(function: Callable[[], T]) -> T:
    """Return ``function()``, called in a forked child.

    Raises
    ------
    CrashError
        With the last line of the traceback, or the signal that killed the child.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(function, sender))
    child.start()
    sender.close()
    try:
        ok, value = receiver.recv()
    except EOFError:
        child.join()
        raise CrashError(f"the process died with exit code {child.exitcode}") from None
    child.join()
    if not ok:
        raise CrashError(value)
    return cast(T, value)


def _child(function: Callable[[], object], sender: Connection) -> None:
    try:
        sender.send((True, function()))
    except BaseException as error:
        sender.send((False, traceback.format_exception_only(error)[-1].strip()[:300]))
    sender.close()
    # Encoder libraries can crash in their exit handlers, when the result is already out.
    os._exit(0)

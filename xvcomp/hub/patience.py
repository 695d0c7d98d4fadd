"""Which failures of a hub pass by waiting, and how long to wait.

The client library has one HTTP library beneath it in one version and another in the next,
so that errors are told apart by what they carry, not by their classes.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..errors import HubError

__all__ = ["DEFAULT_ATTEMPTS", "patiently", "status_of", "wait_seconds"]

T = TypeVar("T")

DEFAULT_ATTEMPTS = 10
"""With the longest waits, about ten minutes."""

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT = 120.0
_TRANSIENT = {408, 409, 412, 423, 425, 429}
_NETWORK = {"TransportError", "ConnectionError", "Timeout", "TimeoutError", "ProtocolError"}
_ADVICE = {
    401: "log in with `hf auth login`, or set HF_TOKEN",
    403: "the token needs write access to it",
    404: "check the name, and that the token may see it",
    413: "a file or a request is too large: write parts (--part-size)",
}


def patiently(do: Callable[[], T], what: str, *, attempts: int = DEFAULT_ATTEMPTS) -> T:
    """Do something on a hub; try again what fails for a reason that passes.

    Parameters
    ----------
    do : callable
        Must be safe to do again.
    what : str
        For messages: ``upload 3 files to ORG/NAME``.
    attempts : int
        At least 1.

    Raises
    ------
    HubError
        If the hub refuses, or if it has failed ``attempts`` times.
    """
    for attempt in range(1, attempts + 1):
        try:
            return do()
        except HubError:
            raise
        except Exception as error:
            wait = wait_seconds(error, attempt)
            if wait is None or attempt == attempts:
                raise HubError(_sentence(error, what, attempt, wait)) from error
            _LOG.warning("%s: %s; trying again in %.1f s", what, _short(error), wait)
            time.sleep(wait)
    raise HubError(f"cannot {what}: {attempts} attempts are none")


def wait_seconds(error: BaseException, attempt: int) -> float | None:
    """Return how long to wait after an error, or ``None`` if waiting does not help."""
    for each in _chain(error):
        status = status_of(each)
        if status is not None:
            passes = status in _TRANSIENT or status >= 500
            return _wait(attempt, _retry_after(each)) if passes else None
        if _is_network(each):
            return _wait(attempt, None)
    return None


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error carries, if it does."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it: uploads wrap theirs."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_network(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _NETWORK) or type(error).__module__.startswith("hf_xet")


def _wait(attempt: int, asked: float | None) -> float:
    if asked is not None:
        return min(asked, 10 * _LONGEST_WAIT)
    # Many clients that were cut off together must not come back together.
    return min(2.0 ** (attempt - 1), _LONGEST_WAIT) * random.uniform(0.75, 1.25)


def _retry_after(error: BaseException) -> float | None:
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def _short(error: BaseException) -> str:
    status = next((s for s in map(status_of, _chain(error)) if s is not None), None)
    text = " ".join(str(error).split()) or type(error).__name__
    return (f"HTTP {status}: " if status else "") + text[:300]


def _sentence(error: BaseException, what: str, attempt: int, wait: float | None) -> str:
    status = next((s for s in map(status_of, _chain(error)) if s is not None), 0)
    advice = f" ({_ADVICE[status]})" if status in _ADVICE else ""
    tried = f" after {attempt} attempts; start it again to go on" if wait is not None else ""
    return f"cannot {what}: {_short(error)}{advice}{tried}"

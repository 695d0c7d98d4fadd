"""The ``xvcomp`` command: parse, one library call, render."""

__all__: list[str] = []

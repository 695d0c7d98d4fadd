"""``python -m xvcomp_cli``, the same as ``xvcomp``."""

from .main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()

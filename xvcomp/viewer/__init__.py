"""The viewer: one page, complete in itself, to look at a cube and at its errors."""

from .viewing import View, view

__all__ = ["View", "view"]

"""Previews: cubes as ordinary videos and pictures, for people to look at."""

from .inline import inline_html, report_html
from .previewing import Preview, preview

__all__ = ["Preview", "inline_html", "preview", "report_html"]

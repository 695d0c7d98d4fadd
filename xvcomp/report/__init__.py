"""Reports: sweeps over encodings, and what they show as numbers, plots and one page."""

from .points import Sweep, SweepPoint
from .sweeping import sweep

__all__ = ["Sweep", "SweepPoint", "sweep"]

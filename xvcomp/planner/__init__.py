"""Decide how each variable of a cube is kept, and say why. Nothing is encoded here."""

from .encoder import check_encoder
from .facts import VariableFacts, frame_axes
from .plan import DEFAULT_TARGET, plan, without_video

__all__ = [
    "DEFAULT_TARGET",
    "VariableFacts",
    "check_encoder",
    "frame_axes",
    "plan",
    "without_video",
]

"""How far a decoded cube is from its reference: every metric, in one pass of windows."""

from .measure import evaluate
from .results import (
    Evaluation,
    FileScores,
    GroupScores,
    IndexScores,
    SetScores,
    TimeScores,
    VariableScores,
)

__all__ = [
    "Evaluation",
    "FileScores",
    "GroupScores",
    "IndexScores",
    "SetScores",
    "TimeScores",
    "VariableScores",
    "evaluate",
]

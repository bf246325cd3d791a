"""How exactly a run lands on a switch, and how a search for that may end; light, without Numba."""

from __future__ import annotations

__all__ = [
    "JUMP",
    "LANDED",
    "MOST_CORRECTIONS",
    "OUT_OF_EVALUATIONS",
    "RELATIVE_ACCURACY",
    "UNSURE",
]

RELATIVE_ACCURACY = 1e-13
MOST_CORRECTIONS = 8
# A rule whose value at the landing is still this large, as a share of what it was, jumps there.
JUMP = 1e-2

# The compiled search has landed, leaves the case to the one that handles rules of any kind, or has used up the
# evaluations that the run may make.
LANDED, UNSURE, OUT_OF_EVALUATIONS = range(3)

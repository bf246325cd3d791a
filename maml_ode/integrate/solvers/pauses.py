"""Why the compiled loop over steps comes back; light, so that it can be named without importing Numba."""

from __future__ import annotations

__all__ = [
    "BEYOND",
    "ESTIMATE",
    "FAILURES",
    "JACOBIAN",
    "LIMIT",
    "LOOK",
    "NOT_FINITE",
    "PAUSED",
    "TOO_SMALL",
]

# To show what it has done; because its last step is worth a look; because the evaluations that a run may make are
# used up; or because no step is possible: so far out that only the horizon ends the run, or however short; or
# because a Jacobian is not finite, or a spectral radius is to be estimated.
PAUSED, LOOK, LIMIT, BEYOND, TOO_SMALL, NOT_FINITE, JACOBIAN, ESTIMATE = range(8)
FAILURES = (BEYOND, TOO_SMALL, NOT_FINITE)

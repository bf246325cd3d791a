"""What has become of a member of an ensemble in a phase; light, so that it is named without importing Numba."""

from __future__ import annotations

__all__ = [
    "AT_REST",
    "CROSSED",
    "CUT_OFF",
    "FRESH",
    "GOING",
    "IRREGULAR",
    "LOOKED_AT",
    "OUT_OF_STEPS",
]

# Its phase is still to begin, or it is on its way; it pauses because the spectrum is to be looked at, or is left
# to a run of its own; or it has come to rest, to where its rule is met, to the horizon, or to the limit on steps.
FRESH, GOING, LOOKED_AT, IRREGULAR, AT_REST, CROSSED, CUT_OFF, OUT_OF_STEPS = range(8)

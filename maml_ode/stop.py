"""Why a run ended, as a value with one sentence."""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["Stop", "StopReason"]


class StopReason(enum.Enum):
    """Why a run ended; the value is the sentence that says it.

    Examples
    --------
    >>> import maml_ode as mo
    >>> str(mo.StopReason.HORIZON)
    'The time horizon was reached.'
    >>> [reason.name for reason in mo.StopReason if "limit" in reason.value]
    ['STEP_LIMIT', 'EVALUATION_LIMIT', 'TIME_LIMIT']
    """

    STATIONARY = "The norm of the field fell to the tolerance."
    SWITCHED = "The last phase's own ending rule was met."
    HORIZON = "The time horizon was reached."
    STEP_LIMIT = "The number of steps reached its limit."
    EVALUATION_LIMIT = "The number of evaluations of the field reached its limit."
    TIME_LIMIT = "The wall-clock time reached its limit."
    NON_FINITE = "A state or a derivative was not finite."
    STEP_TOO_SMALL = "The step size fell to the spacing of floating-point numbers."
    CHATTERING = "Two phases push against each other, so that the path slides along their boundary."
    TOLERANCE_OUT_OF_REACH = "The field's norm stalled above the tolerance."
    INTERRUPTED = "The run was interrupted by the user or by the callback."

    def __str__(self) -> str:
        return self.value


class Stop(NamedTuple):
    """A stop reason with its numbers, and whether it is what was asked for.

    Attributes
    ----------
    reason : StopReason
    detail : str
        What follows the reason's sentence: numbers, and what to do.
    asked_for : bool
        Whether the run reached what it was asked for.
    """

    reason: StopReason
    detail: str = ""
    asked_for: bool = False

    @property
    def message(self) -> str:
        """The whole sentence."""
        sentence: str = self.reason.value
        return f"{sentence} {self.detail}" if self.detail else sentence

    @property
    def status(self) -> int:
        """SciPy's code: 1 for a stopping rule, 0 for a horizon or number of steps asked for, -1 for failure."""
        if not self.asked_for:
            return -1
        return 0 if self.reason in (StopReason.HORIZON, StopReason.STEP_LIMIT) else 1

"""How a run is to be advanced: frozen; what a remedy changes on the way is a new plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from maml_ode._validation import check_real
from maml_ode.flows import Flow
from maml_ode.tasks.base import DOUBLE_PRECISION

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = ["NO_METHOD", "Plan", "Tolerances"]

SMALLEST_RTOL = 1e-13
SMALLEST_ATOL = 1e-30
# Times eps: below this an error estimate is rounding. In double it is 2e-14, below all defaults.
OF_ROUNDING = 100.0
# The method of a plan whose stepper needs none: the closed form and Euler.
NO_METHOD: Any = None


class Tolerances(NamedTuple):
    """rtol and atol of the step control, which of them the user fixed, and eps of what is integrated."""

    rtol: float
    atol: float
    fixed_rtol: bool
    fixed_atol: bool
    precision: float = DOUBLE_PRECISION

    @classmethod
    def choose(cls, flow: Flow, tol: float, rtol: float | None, atol: float | None) -> Tolerances:
        """Take what the user gave; derive the rest from ``tol`` (loosely where the field jumps).

        An explicit method at its stability limit keeps a residual of up to 15 lambda_max atol, so atol is
        kept below what ``tol`` asks for where lambda_max is known beforehand.
        """
        default = 1e-4 if flow.is_rough else _within(tol if tol > 0 else 1e-8, 1e-12, 1e-6)
        default_atol = default / 100
        last = flow.phases[-1].field.affine
        if tol > 0 and last is not None:
            largest = last.largest_eigenvalue
            if largest > 0:
                default_atol = min(default_atol, tol / (15 * largest))
        chosen_rtol = default if rtol is None else check_real("rtol", rtol, minimum=0.0)
        chosen_atol = (
            default_atol if atol is None else check_real("atol", atol, minimum=0.0, strict=True)
        )
        return cls(chosen_rtol, chosen_atol, rtol is not None, atol is not None)

    def seen_in(self, precision: float) -> Tolerances:
        """Return tolerances for fields that are computed with this eps: ours rise with its rounding."""
        if precision <= self.precision:
            return self
        rtol = self.rtol if self.fixed_rtol else max(self.rtol, OF_ROUNDING * precision)
        atol = self.atol if self.fixed_atol else max(self.atol, precision)
        return self._replace(rtol=rtol, atol=atol, precision=precision)

    def tightened(self) -> Tolerances | None:
        """Return tolerances 100 times smaller where they are ours, or None if they cannot be."""
        if self.precision > DOUBLE_PRECISION:  # they are at its rounding
            return None
        rtol = self.rtol if self.fixed_rtol else max(self.rtol / 100, SMALLEST_RTOL)
        atol = self.atol if self.fixed_atol else self.atol / 100
        if rtol == self.rtol and (self.fixed_atol or atol < SMALLEST_ATOL):
            return None
        return self._replace(rtol=rtol, atol=atol)


def _within(value: float, least: float, most: float) -> float:
    return least if value < least else most if value > most else value


class Plan(NamedTuple):
    """What a run was asked for, and what has been changed since.

    Attributes
    ----------
    method : type of OdeSolver
    tolerances : Tolerances
        Lowered when a norm stalls because of them.
    t_max : float
    max_steps : int
    options : mapping
        The user's options of the method.
    enforce_energy : bool
        Whether steps that raise the phase's objective are undone.
    stiff_method : type of OdeSolver, optional
        What ``method`` becomes when stiffness shows.
    first_step, max_step : float, optional
        Bounds that a remedy has set for the rest of the phase.
    note : str
        What has been changed of the method, for the trajectory's ``method``.
    """

    method: type[OdeSolver]
    tolerances: Tolerances
    t_max: float
    max_steps: int
    options: Mapping[str, Any] = MappingProxyType({})
    enforce_energy: bool = False
    stiff_method: type[OdeSolver] | None = None
    first_step: float | None = None
    max_step: float | None = None
    note: str = ""

    def seen_in(self, precision: float) -> Plan:
        """Return the plan for fields that are computed with this eps."""
        tolerances = self.tolerances.seen_in(precision)
        return self if tolerances is self.tolerances else self._replace(tolerances=tolerances)

    def next_phase(self) -> Plan:
        """Return the plan for the phase that follows: bounds of steps end with theirs."""
        if self.first_step is None and self.max_step is None:
            return self
        return self._replace(first_step=None, max_step=None)

    @property
    def step_options(self) -> Mapping[str, Any]:
        """The user's options with the bounds that remedies have set."""
        if self.first_step is None and self.max_step is None:
            return self.options
        chosen = dict(self.options)
        if self.first_step is not None:
            chosen["first_step"] = self.first_step
        if self.max_step is not None:
            chosen["max_step"] = self.max_step
        return chosen

    @property
    def longest_step(self) -> float:
        """The bound on the step in force; infinite if there is none."""
        return float(self.step_options.get("max_step", math.inf))

"""Members of affine flows by their closed form: a phase of all of them in compiled code."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows import Flow
from maml_ode.flows.fields import VectorField
from maml_ode.flows.flow import Leg
from maml_ode.integrate.ensembles.members import Indices, Members
from maml_ode.integrate.ensembles.request import Request
from maml_ode.integrate.ensembles.watch import Watch
from maml_ode.integrate.solvers.member_codes import AT_REST, CROSSED, CUT_OFF, FRESH, IRREGULAR
from maml_ode.integrate.steppers.exact import ONE_HESSIAN, SMALL
from maml_ode.stop import StopReason

__all__ = ["ByFormula", "has_formula"]

# Keys, time limits and progress are seen to after so many members, which take a hundredth of a second.
AT_ONCE = 2048


def has_formula(flow: Flow) -> bool:
    """Whether all phases of a flow with a closed form can be followed in compiled code."""
    return all(_has_formula(leg.field) for leg in flow.legs)


def _has_formula(field: VectorField) -> bool:
    plain = field.affine is not None and not field.is_lifted and field.dim <= SMALL
    return plain and field.closed_form is not None


class ByFormula:
    """Follows a group of members through the phases of their flow.

    Parameters
    ----------
    request : Request
    members : Members
    watch : Watch
    """

    def __init__(self, request: Request, members: Members, watch: Watch) -> None:
        self._request = request
        self._members = members
        self._watch = watch
        size = len(members)
        self._codes, self._evaluations = np.zeros((2, size), dtype=np.int64)
        self._norms = np.empty(size)

    def follow(self, which: Indices, flow: Flow) -> Indices:
        """Follow members to their ends; return those that need runs of their own.

        Raises
        ------
        KeyboardInterrupt, OutOfTime
            When a key or the time limit ends the ensemble; every member keeps what it has.
        """
        members, everybody = self._members, which
        alone = np.zeros(len(members), dtype=bool)
        spent: list[tuple[Counts, Indices]] = []
        try:
            for number, leg in enumerate(flow.legs):
                self._codes[which] = FRESH
                try:
                    self._run_phase(which, leg)
                finally:
                    begun = which[self._codes[which] != FRESH]
                    evaluations = np.zeros(len(members), dtype=np.int64)
                    evaluations[begun] = 1 + self._evaluations[begun]
                    spent.append((leg.field.cost, evaluations))
                    alone[which[self._codes[which] == IRREGULAR]] = True
                    which = self._end(which, number, len(flow.legs))
        finally:
            regular = everybody[~alone[everybody]]
            for cost, evaluations in spent:
                phases = int(np.count_nonzero(evaluations[regular]))
                own = Counts(factorizations=phases) + ONE_HESSIAN * phases
                members.counts += cost * int(evaluations[regular].sum()) + own
            members.forget(np.flatnonzero(alone))
        return np.flatnonzero(alone)

    def _run_phase(self, which: Indices, leg: Leg) -> None:
        from maml_ode.integrate.solvers.kernels.closed_form import exact_members

        members, field, request = self._members, leg.field, self._request
        if field.closed_form is None or field.affine is None:
            raise RuntimeError("an affine field lost its matrix; this is a defect of maml_ode.")
        form, finds_amplitudes = field.closed_form
        own = self._own_norms(leg)
        # With a rule that the norm never meets, it depends on more whether the phase waits for it.
        waits = which[own[which] == 0.0]
        self._codes[waits] = IRREGULAR
        going = np.setdiff1d(which, waits, assume_unique=True)
        # A form that finds them itself reads none.
        amplitudes = members.w if finds_amplitudes else np.zeros(members.w.shape)
        for first in range(0, going.size, AT_ONCE):
            some = going[first : first + AT_ONCE]
            if not finds_amplitudes:
                for k in some:
                    amplitudes[k] = field.affine.amplitudes(members.w[k])
            exact_members(
                form, members.w, amplitudes, members.t, own, request.tol if leg.final else 0.0,
                request.t_max, some, self._codes, self._norms, self._evaluations,
            )  # fmt: skip
            self._watch.look(self._done)

    def _own_norms(self, leg: Leg) -> Array:
        """Return the norms at which members end a phase, negative where they do not."""
        own = self._request.switch_tol
        if leg.rule is None:
            return np.full(len(self._members), -np.inf)
        if own is None:
            return np.full(len(self._members), float(leg.rule.scale or 0.0))
        return own

    def _done(self) -> int:
        """Return how many have come to the end of the present phase."""
        return int(np.count_nonzero(self._codes >= AT_REST))

    def _end(self, which: Indices, number: int, phases: int) -> Indices:
        """Say what has ended whom; return those that go on with the next phase."""
        members, codes = self._members, self._codes[which]
        rests: Indices = which[codes == AT_REST]
        crossed: Indices = which[codes == CROSSED]
        members.norm[rests] = self._norms[rests]
        members.end(rests, StopReason.STATIONARY, asked_for=True)
        members.end(which[codes == CUT_OFF], StopReason.HORIZON, asked_for=True)
        if crossed.size:
            members.switch_times[crossed, number] = members.t[crossed]
        if number == phases - 1:
            members.end(crossed, StopReason.SWITCHED, asked_for=True)
        return crossed

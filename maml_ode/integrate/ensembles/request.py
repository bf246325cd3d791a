"""What an ensemble was asked for, and the run of its own that every member stands for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.flows import Flow, SwitchRule
from maml_ode.flows.variants import with_alpha, with_switch_tol
from maml_ode.integrate.solve_verb import solve
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = ["OWN_KEYWORDS", "Request"]

# Of `ensemble`: what a misspelt option of a method may have meant.
OWN_KEYWORDS = (
    "tol", "t_max", "method", "rtol", "atol", "max_steps", "max_seconds", "threads", "alpha",
    "switch_tol", "progress",
)  # fmt: skip

# Flows of members that are kept: an aggregated family is aggregated once for a neighbour with the same alpha.
FLOWS_KEPT = 16


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of an ensemble, checked.

    Attributes
    ----------
    flow : Flow
    W0 : ndarray of shape (K, d)
    tol, t_max, method, rtol, atol, max_steps, options
        As in `solve`.
    alpha, switch_tol : ndarray of shape (K,) or None
        What differs from member to member.
    batched : bool or None
        Whether members evaluate their fields together; None where that is to be decided.
    """

    flow: Flow
    W0: Array
    tol: float
    t_max: float
    method: str | type[OdeSolver]
    rtol: float | None
    atol: float | None
    max_steps: int
    alpha: Array | None = None
    switch_tol: Array | None = None
    batched: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_flow_with", lru_cache(FLOWS_KEPT)(self._make_flow))

    def __getstate__(self) -> dict[str, Any]:
        # The flows that are kept are made again where they are wanted.
        return {name: value for name, value in self.__dict__.items() if name != "_flow_with"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __len__(self) -> int:
        return len(self.W0)

    def flow_of(self, k: int) -> Flow:
        """Return the flow that member ``k`` follows."""
        alpha = None if self.alpha is None else float(self.alpha[k])
        switch_tol = None if self.switch_tol is None else float(self.switch_tol[k])
        return self._flow_with(alpha, switch_tol)  # type: ignore[attr-defined, no-any-return]

    def _make_flow(self, alpha: float | None, switch_tol: float | None) -> Flow:
        flow = self.flow if alpha is None else with_alpha(self.flow, alpha)
        return flow if switch_tol is None else with_switch_tol(flow, switch_tol)

    def groups(self) -> list[tuple[npt.NDArray[np.int64], Flow]]:
        """Return the members by what the choice of a method and of tolerances depends on, each with such a flow.

        Where alpha is not everybody's, that is alpha itself if the flow is affine, whose matrix depends on it, and
        else whether it is 0, which makes a flow smoother; where switch_tol is not, whether that is 0.
        """
        keys = [np.zeros(len(self))]
        if self.alpha is not None:
            affine = any(phase.field.affine is not None for phase in self.flow_of(0).phases)
            keys.append(self.alpha if affine else self.alpha.astype(bool))
        if self.switch_tol is not None:
            keys.append(self.switch_tol.astype(bool))
        different, of = np.unique(np.column_stack(keys), axis=0, return_inverse=True)
        groups = [np.flatnonzero(of == group) for group in range(len(different))]
        return [(members, self.flow_of(int(members[0]))) for members in groups]

    @property
    def asks_for_steps(self) -> bool:
        """Whether tolerances or options of a stepping method were given."""
        return self.rtol is not None or self.atol is not None or bool(self.options)

    def run(
        self, k: int, *, diagnostics: bool = True, max_seconds: float | None = None
    ) -> Trajectory:
        """Return member ``k`` by itself, as `solve` runs it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NonSmoothWarning)  # the ensemble has warned once
            return solve(
                self.flow_of(k), self.W0[k], tol=self.tol, t_max=self.t_max, method=self.method,
                rtol=self.rtol, atol=self.atol, max_steps=self.max_steps, max_seconds=max_seconds,
                diagnostics=diagnostics, **self.options,
            )  # fmt: skip

    @property
    def most_switches(self) -> int:
        """How many switches a member of a flow whose phases follow each other in order has at most, else 0."""
        if self.flow.rule is not SwitchRule.ONE_WAY or self.flow.re_entrant:
            return 0
        return sum(leg.rule is not None for leg in self.flow.legs)

    @property
    def has_horizon(self) -> bool:
        """Whether time is limited."""
        return math.isfinite(self.t_max)

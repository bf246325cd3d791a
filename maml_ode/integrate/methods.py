"""Names of methods: ours, SciPy's, any ``OdeSolver`` class, "exact" and "auto"."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import scipy.integrate
from scipy.integrate import OdeSolver

from maml_ode._validation import Array, unknown_name
from maml_ode.flows import Flow
from maml_ode.integrate.evaluation import Ledger
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.solvers import METHODS
from maml_ode.integrate.stiffness import DENSE_LIMIT, largest_rate

__all__ = [
    "SCIPY_METHODS",
    "Choice",
    "choose",
    "is_explicit",
    "resolve",
    "solver_options",
    "stiff_method",
]

SCIPY_METHODS: dict[str, type[OdeSolver]] = {
    name: getattr(scipy.integrate, name)
    for name in ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
}
_EXPLICIT = (scipy.integrate.RK23, scipy.integrate.RK45, scipy.integrate.DOP853)
_OURS_EXPLICIT = ("Tsit5", "DOP853")
# Over a finite horizon T an explicit method needs about lambda_max T/3 steps: from here on that is many.
STIFF_PRODUCT = 3e3
# At tolerances looser than this the lower order is the cheaper one.
LOOSE = 1e-5


@dataclass(frozen=True)
class Choice:
    """The method a run uses, and why ``"auto"`` chose it."""

    method: str | type[OdeSolver]
    reason: str = ""

    @property
    def label(self) -> str:
        """What a trajectory calls its method."""
        name = self.method if isinstance(self.method, str) else self.method.__name__
        return f"{name} (auto: {self.reason})" if self.reason else name


def choose(
    flow: Flow,
    method: str | type[OdeSolver],
    w: Array,
    *,
    tol: float,
    horizon: float,
    stepping: bool,
    ledger: Ledger,
) -> Choice:
    """Resolve ``"auto"``.

    "exact" wherever every phase is affine with a closed form, unless the call asks for steps (a callback,
    tolerances or options of a stepping method); RK45 for a discontinuous field, where a high order buys
    nothing; the stiff method of the dimension where lambda_max at ``w`` times the horizon is large; else
    Tsit5 at loose and DOP853 at tight tolerances.

    Parameters
    ----------
    flow, method, w
        What `solve` was given.
    tol : float
        The stationarity tolerance, from which the error tolerances follow.
    horizon : float
        Time left.
    stepping : bool
        Whether the call asks for steps.
    ledger : Ledger
        Charged for the look at the spectrum.
    """
    if method != "auto":
        return Choice(method)
    problem = "tolerances, options or a callback ask for steps" if stepping else None
    problem = problem or why_not_exact(flow)
    if problem is None:
        return Choice("exact", "every phase is affine with a symmetric matrix")
    if any(phase.field.smoothness < 0 for phase in flow.phases):
        return Choice("RK45", "the field is discontinuous")
    if horizon < float("inf"):
        rates = [largest_rate(phase.field, w, ledger) for phase in flow.phases]
        rate = max((r for r in rates if r is not None), default=0.0)
        if rate * horizon > STIFF_PRODUCT:
            return Choice(
                stiff_method(flow),
                f"lambda_max = {rate:.3g} at the start over a horizon of {horizon:g} is stiff",
            )
    order = "Tsit5" if tol > LOOSE else "DOP853"
    return Choice(order, f"smooth, not exact: {problem}")


def stiff_method(flow: Flow) -> str:
    """Return the method for stiff flows: implicit where d x d matrices are cheap, else RKC2."""
    small = flow.dim <= DENSE_LIMIT and all(phase.field.has_jacobian for phase in flow.phases)
    return "Rodas5P" if small else "RKC2"


def resolve(method: str | type[OdeSolver]) -> type[OdeSolver]:
    """Return the class of a method; a name of ours comes before SciPy's of the same name.

    Raises
    ------
    ValueError
        For an unknown name; the near match is suggested.
    TypeError
        If it is neither a name nor an ``OdeSolver`` class.
    """
    if isinstance(method, str):
        known = {**SCIPY_METHODS, **METHODS}
        if method not in known:
            raise ValueError(unknown_name("method", method, ("auto", "exact", *known)))
        return known[method]
    if isinstance(method, type) and issubclass(method, OdeSolver):
        return method
    raise TypeError(
        f"method must be a name or a class derived from scipy.integrate.OdeSolver, not {method!r}."
    )


def is_explicit(method: type[OdeSolver]) -> bool:
    """Whether this is an explicit Runge-Kutta method without stabilisation."""
    return method in _EXPLICIT or any(method is METHODS[name] for name in _OURS_EXPLICIT)


def solver_options(
    method: type[OdeSolver], options: Mapping[str, Any], offers: Mapping[str, Any]
) -> dict[str, Any]:
    """Check ``options`` against the method's signature and add what it takes of ``offers``.

    Raises
    ------
    TypeError
        For an option that the method does not know.
    """
    signature = inspect.signature(method.__init__)
    known = [
        name
        for name in signature.parameters
        if name not in ("self", "fun", "t0", "y0", "t_bound", "vectorized", "extraneous")
    ]
    for name in options:
        if name not in known:
            raise TypeError(unknown_name(f"option of {method.__name__}", name, known))
    return {**{name: value for name, value in offers.items() if name in known}, **options}

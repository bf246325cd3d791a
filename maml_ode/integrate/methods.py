"""Names of methods: SciPy's, any ``OdeSolver`` class, "exact" and "auto"."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import scipy.integrate
from scipy.integrate import OdeSolver

from maml_ode._validation import unknown_name
from maml_ode.flows import Flow
from maml_ode.integrate.exact import why_not_exact

__all__ = ["SCIPY_METHODS", "choose", "is_explicit", "resolve", "solver_options"]

SCIPY_METHODS: dict[str, type[OdeSolver]] = {
    name: getattr(scipy.integrate, name)
    for name in ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
}
_EXPLICIT = ("RK23", "RK45", "DOP853")


def choose(
    flow: Flow, method: str | type[OdeSolver], *, stepping: bool
) -> tuple[str | type[OdeSolver], str]:
    """Resolve ``"auto"`` to "exact" or a SciPy method; return the choice and the reason.

    "exact" wherever every phase is affine with a closed form, unless the call asks for steps (a
    callback, tolerances or options of a stepping method); RK45 for a discontinuous field, where a high
    order buys nothing; else DOP853.
    """
    if method != "auto":
        return method, ""
    reason = "tolerances, options or a callback ask for steps" if stepping else None
    reason = reason or why_not_exact(flow)
    if reason is None:
        return "exact", "every phase is affine with a symmetric matrix"
    if any(phase.field.smoothness < 0 for phase in flow.phases):
        return "RK45", "the field is discontinuous"
    return "DOP853", f"not exact: {reason}"


def resolve(method: str | type[OdeSolver]) -> type[OdeSolver]:
    """Return the class of a method.

    Raises
    ------
    ValueError
        For an unknown name; the near match is suggested.
    TypeError
        If it is neither a name nor an ``OdeSolver`` class.
    """
    if isinstance(method, str):
        if method not in SCIPY_METHODS:
            known = ("auto", "exact", *SCIPY_METHODS)
            raise ValueError(unknown_name("method", method, known))
        return SCIPY_METHODS[method]
    if isinstance(method, type) and issubclass(method, OdeSolver):
        return method
    raise TypeError(
        f"method must be a name or a class derived from scipy.integrate.OdeSolver, not {method!r}."
    )


def is_explicit(method: type[OdeSolver]) -> bool:
    """Whether this is one of SciPy's explicit Runge-Kutta methods."""
    return any(method is SCIPY_METHODS[name] for name in _EXPLICIT)


def solver_options(
    method: type[OdeSolver], options: Mapping[str, Any], jacobian: Any | None
) -> dict[str, Any]:
    """Check ``options`` against the method's signature and add the Jacobian if it takes one.

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
    settings = dict(options)
    if "jac" in known and jacobian is not None:
        settings.setdefault("jac", jacobian)
    return settings

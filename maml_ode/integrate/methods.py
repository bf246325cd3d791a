"""Names of methods, and the facts about them that a run relies on, each stated once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from maml_ode._validation import Array, shown, unknown_name
from maml_ode.flows import Flow
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.stiffness import largest_rate
from maml_ode.integrate.tally import Tally
from maml_ode.sizes import MATRIX_ON_A_PATH

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = [
    "Choice",
    "MethodFacts",
    "choose",
    "facts_of",
    "named",
    "resolve",
    "solver_options",
    "stiff_method",
]

SCIPY_METHODS = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
# What other packages call our methods and SciPy's.
ELSEWHERE = {
    "dopri5": "RK45",
    "ode45": "RK45",
    "dopri8": "DOP853",
    "dop8": "DOP853",
    "bosh3": "RK23",
    "ode23": "RK23",
    "radau5": "Radau",
    "kvaerno5": "Rodas5P",
}
# Over a finite horizon T an explicit method needs about lambda_max T/3 steps: from here on that is many.
STIFF_PRODUCT = 3e3
# At tolerances looser than this the lower order is the cheaper one.
LOOSE = 1e-5


@dataclass(frozen=True)
class MethodFacts:
    """What a run relies on in a method.

    Attributes
    ----------
    stiff_from : float or None
        For an explicit method without stabilisation: mean steps times lambda_max above this, over many steps,
        mean that stability bounds them, below the method's own interval on the negative real axis (2.5 for
        RK23, 3.3 for RK45, 3.5 for Tsit5, 6 for DOP853). None for all others.
    options : tuple of str
        The options that its constructor names.
    """

    stiff_from: float | None
    options: tuple[str, ...]

    @property
    def explicit(self) -> bool:
        """Whether it is an explicit Runge-Kutta method without stabilisation."""
        return self.stiff_from is not None


STIFF_FROM = {"RK23": 2.5, "RK45": 2.5, "DOP853": 2.5, "Tsit5": 2.5}
_NOT_OPTIONS = ("self", "fun", "t0", "y0", "t_bound", "vectorized", "extraneous")


def facts_of(method: type[OdeSolver]) -> MethodFacts:
    """Return the facts of a method; a class of the user's has those that its signature shows.

    A constructor that takes arbitrary keywords is asked what it names, and so is the one that it hands
    them on to, as far as ``OdeSolver`` itself.
    """
    known: Any = method  # mypy takes a class for unhashable
    return _facts_of(known)


@lru_cache(maxsize=128)
def _facts_of(method: Any) -> MethodFacts:
    from scipy.integrate import OdeSolver

    options: list[str] = []
    for owner in method.__mro__:
        if owner is OdeSolver:
            break
        if "__init__" not in vars(owner):
            continue
        parameters = inspect.signature(vars(owner)["__init__"]).parameters.values()
        named = (p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
        options += [name for name in named if name not in (*_NOT_OPTIONS, *options)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    ours = any(method is known for known in (*_scipys().values(), *_known().values()))
    return MethodFacts(STIFF_FROM.get(method.__name__) if ours else None, tuple(options))


@lru_cache(maxsize=1)
def _scipys() -> dict[str, type[OdeSolver]]:
    """Return SciPy's methods; asked for late, because a run in closed form takes less time than the import."""
    import scipy.integrate

    return {name: getattr(scipy.integrate, name) for name in SCIPY_METHODS}


@lru_cache(maxsize=1)
def _known() -> dict[str, type[OdeSolver]]:
    """Return the methods that have a name; ours come before SciPy's of the same name."""
    from maml_ode.integrate.solvers import METHODS

    return {**_scipys(), **METHODS}


@dataclass(frozen=True)
class Choice:
    """The method a run uses, and why ``"auto"`` chose it."""

    method: str | type[OdeSolver]
    reason: str = ""

    @cached_property
    def label(self) -> str:
        """What a trajectory calls its method."""
        name = self.method if isinstance(self.method, str) else self.method.__name__
        return f"{name} (auto: {self.reason})" if self.reason else name


AFFINE = Choice("exact", "every phase is affine with a symmetric matrix")
LINEAR = Choice("exact", "every phase is of second order or affine with a symmetric matrix")


def named(method: str | type[OdeSolver]) -> Choice:
    """Return the choice of a method that the call names."""
    known: Any = method  # mypy takes a class for unhashable
    return _named(known)


@lru_cache(maxsize=128)
def _named(method: Any) -> Choice:
    return Choice(method)


def choose(
    flow: Flow,
    method: str | type[OdeSolver],
    w: Array,
    *,
    tol: float,
    horizon: float,
    stepping: bool,
    tally: Tally,
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
    tally : Tally
        Charged for the look at the spectrum.
    """
    if method != "auto":
        return named(method)
    reason = "tolerances, options or a callback ask for steps" if stepping else None
    reason = reason or why_not_exact(flow)
    if reason is None:
        return LINEAR if flow.is_lifted else AFFINE
    if flow.is_rough:
        return Choice("RK45", "the field is discontinuous")
    if horizon < float("inf"):
        rates = [largest_rate(phase.field, w, tally) for phase in flow.phases]
        rate = max((r for r in rates if r is not None), default=0.0)
        if rate * horizon > STIFF_PRODUCT:
            return Choice(
                stiff_method(flow),
                f"lambda_max = {rate:.3g} at the start over a horizon of {horizon:g} is stiff",
            )
    order = "Tsit5" if tol > LOOSE else "DOP853"
    return Choice(order, f"smooth, not exact: {reason}")


def stiff_method(flow: Flow) -> str:
    """Return the method for stiff flows: implicit where d x d matrices are cheap, else RKC2."""
    small = flow.state_dim <= MATRIX_ON_A_PATH and all(
        phase.field.has_jacobian for phase in flow.phases
    )
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
        known = _known()
        if method in known:
            return known[method]
        here = ELSEWHERE.get(method.lower())
        if here is not None:
            raise ValueError(f"unknown method {method!r}; here it is called {here!r}.")
        raise ValueError(unknown_name("method", method, ("auto", "exact", *known)))
    from scipy.integrate import OdeSolver

    if isinstance(method, type) and issubclass(method, OdeSolver):
        return method
    raise TypeError(
        f"method must be a name or a class derived from scipy.integrate.OdeSolver, not {shown(method)}."
    )


def solver_options(
    method: type[OdeSolver], options: Mapping[str, Any], offers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``options`` with what the method takes of ``offers``."""
    taken = facts_of(method).options
    return {**{name: value for name, value in offers.items() if name in taken}, **options}


def check_options(
    method: type[OdeSolver], options: Mapping[str, Any], others: tuple[str, ...]
) -> None:
    """Refuse options that the method does not name; ``others`` are keywords that may have been meant.

    Raises
    ------
    TypeError
        For an option that the method does not know.
    """
    if not options:
        return
    taken = facts_of(method).options
    for name in options:
        if name not in taken:
            known = [*taken, *others]
            raise TypeError(unknown_name(f"option of {method.__name__}", name, known))

"""Check derivatives by the order of their Taylor remainders: a verdict, not only a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._norms import row_norms, vector_norm
from maml_ode._validation import Array, as_point, as_rng, shown
from maml_ode.objectives import Objective
from maml_ode.tasks.base import DOUBLE_PRECISION, TaskFamily

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DerivativeCheck", "DerivativeReport", "check_derivatives"]

STEPS = np.geomspace(1e-1, 1e-7, 37)
# In units of eps: of double, or of the type that the user's functions return.
ROUNDING = 64
EQUAL = 1024
QUOTIENT = 4.0
LARGEST_GAP = 1e-11
SLOPE_MARGIN = 0.25
WINDOW = 5
LARGEST_MATRIX = 400


@dataclass(frozen=True, eq=False)
class DerivativeCheck:
    """One checked identity.

    Attributes
    ----------
    name : str
    expected : float
        Order of the Taylor remainder in the step; 0 for an identity that has no step.
    slope : float
        The order observed at the smallest steps above rounding; infinite where every remainder is rounding.
    error : float
        Relative error of the derivative: for a Taylor check that of the best difference quotient.
    ok : bool
    steps, remainders : ndarray
        What the slope was read from; empty for an identity.
    """

    name: str
    expected: float
    slope: float
    error: float
    ok: bool
    steps: Array
    remainders: Array


@dataclass(frozen=True, eq=False)
class DerivativeReport:
    """The verdict on all derivatives of a family or an objective at one point.

    Attributes
    ----------
    subject : str
        What was checked.
    checks : tuple of DerivativeCheck
        One a derivative.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> report = mo.check_derivatives(mo.MAMLLoss(tasks, alpha=0.1))
    >>> report.ok, [check.name for check in report.checks][:1]
    (True, ['gradient'])
    """

    subject: str
    checks: tuple[DerivativeCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def slopes(self) -> dict[str, float]:
        """Observed orders by name."""
        return {check.name: check.slope for check in self.checks if check.expected > 0}

    @property
    def errors(self) -> dict[str, float]:
        """Relative errors by name."""
        return {check.name: check.error for check in self.checks}

    def __str__(self) -> str:
        lines = [f"Derivatives of {self.subject}: {'correct' if self.ok else 'WRONG'}"]
        for check in self.checks:
            order = f"order {check.slope:.2f} (wanted {check.expected:g})" if check.expected else ""
            verdict = "ok" if check.ok else "WRONG"
            lines.append(f"  {check.name:<28} {verdict:<6} error {check.error:8.1e}  {order}")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the remainders over the step; see `maml_ode.plotting.plot_derivatives`."""
        from maml_ode.plotting import plot_derivatives

        return plot_derivatives(self, ax)


@dataclass(frozen=True)
class _Subject:
    """The common face of families (M values at once) and objectives (one)."""

    name: str
    dim: int
    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    hvp: Callable[[Array, Array], Array] | None
    hessian: Callable[[Array], Array] | None
    third_vector: Callable[[Array, Array, Array], Array] | None
    third: Callable[[Array, Array], Array] | None
    precision: Callable[[], float]


def check_derivatives(
    tasks_or_objective: TaskFamily | Objective,
    w: npt.ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
) -> DerivativeReport:
    """Check every derivative of a task family or an objective at one point.

    Along random directions v, u of unit norm and for h from 1e-1 to 1e-7::

        |f(w + hv) - f(w) - h g'v|                       falls like h^2   (gradient),
        |f(w + hv) - f(w) - h g'v - h^2/2 v'Hv|          falls like h^3   (Hessian),
        ||H(w + hv)u - H(w)u - h D^3 f(w)[v, u]||        falls like h^2   (third derivative),

    and as much for -h, of which the root mean square counts, until rounding takes over; the order is read at the
    smallest steps above rounding, where a wrong derivative shows as a lower order. Symmetry of H and D^3 f and
    agreement of the matrix with the matrix-free products are checked too. For families every task counts and the
    worst one is reported. Rounding is that of double, or of the type that the family's functions return.

    Parameters
    ----------
    tasks_or_objective : TaskFamily or Objective
    w : array_like of shape (d,), optional
        The point; standard normal by default.
    rng : Generator or int, optional
        Source of the point and the directions, a seed being an integer from 0 to 2^64 - 1; seed 0 by
        default.

    Returns
    -------
    DerivativeReport
        ``.ok``, ``.slopes``, ``.errors``, ``.plot()``, and a table as text.

    Examples
    --------
    >>> import maml_ode as mo
    >>> report = mo.check_derivatives(mo.tasks.Sinusoid([0.505], [1.0], [1.0]))
    >>> report.ok, round(report.slopes["gradient"])
    (True, 2)
    """
    generator = as_rng("rng", rng)
    subject = _subject(tasks_or_objective)
    point = generator.standard_normal(subject.dim) if w is None else as_point("w", w, subject.dim)
    v, u = (_unit(generator, subject.dim) for _ in range(2))
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows at w fails its check
        return DerivativeReport(subject.name, tuple(_checks(subject, point, v, u)))


def _checks(subject: _Subject, point: Array, v: Array, u: Array) -> list[DerivativeCheck]:
    checks = [_check_gradient(subject, point, v)]
    if subject.hvp is not None:
        checks.append(_check_hessian(subject, point, v))
        if subject.hessian is not None:
            checks += _check_matrix(subject, point, v)
    if subject.third_vector is not None and subject.hvp is not None:
        checks.append(_check_third(subject, point, v, u))
        if subject.third is not None:
            checks += _check_cube(subject, point, v, u)
    return checks


def _unit(generator: np.random.Generator, dim: int) -> Array:
    v = generator.standard_normal(dim)
    return v / vector_norm(v)


def _subject(given: TaskFamily | Objective) -> _Subject:
    if isinstance(given, TaskFamily):
        small = given.dim <= LARGEST_MATRIX
        hvps, thirds = given.has_hvps, given.has_hvps and given.has_thirds
        return _Subject(
            repr(given),
            given.dim,
            given.losses,
            given.gradients,
            given.hvps if hvps else None,
            given.hessians if hvps and small else None,
            given.third_vectors if thirds else None,
            given.third if thirds and small else None,
            lambda: given.precision,
        )
    if isinstance(given, Objective):
        small = given.dim <= LARGEST_MATRIX
        return _Subject(
            repr(given),
            given.dim,
            lambda w: np.array([given.value(w)]),
            lambda w: given.gradient(w)[None],
            (lambda w, v: given.hvp(w, v)[None]) if given.has_hessian else None,
            (lambda w: given.hessian(w)[None]) if given.has_hessian and small else None,
            None,
            None,
            lambda: given.precision,
        )
    raise TypeError(
        f"tasks_or_objective must be a task family or an objective, not {shown(given)}."
    )


def _check_gradient(subject: _Subject, w: Array, v: Array) -> DerivativeCheck:
    base, slope = subject.value(w), subject.gradient(w) @ v

    def remainder(h: float) -> tuple[Array, Array]:
        moved = subject.value(w + h * v)
        size = np.abs(moved) + np.abs(base) + np.abs(h * slope)
        return np.abs(moved - base - h * slope), size + _of_argument(subject.gradient, w, h * v)

    scale = row_norms(subject.gradient(w))
    return _taylor("gradient", 2.0, 1, scale, remainder, subject.precision)


def _check_hessian(subject: _Subject, w: Array, v: Array) -> DerivativeCheck:
    # From gradients where values would lose too many digits: g(w + hv) - g(w) - h Hv, one order lower each.
    hvp = subject.hvp
    if hvp is None:
        raise TypeError("the Hessian is checked by its products with vectors.")
    base, product = subject.gradient(w), hvp(w, v)
    values, slope = subject.value(w), base @ v
    curvature = product @ v

    def remainder(h: float) -> tuple[Array, Array]:
        moved = subject.value(w + h * v)
        rest = np.abs(moved - values - h * slope - 0.5 * h * h * curvature)
        size = np.abs(moved) + np.abs(values) + np.abs(h * slope)
        return rest, size + _of_argument(subject.gradient, w, h * v)

    def gradient_remainder(h: float) -> tuple[Array, Array]:
        moved = subject.gradient(w + h * v)
        rest = row_norms(moved - base - h * product)
        size = row_norms(moved) + row_norms(base)
        return rest, size + _of_argument(lambda z: hvp(z, v), w, h * v)

    scale = row_norms(product)
    by_values = _taylor("Hessian", 3.0, 2, np.abs(curvature), remainder, subject.precision)
    by_gradients = _taylor("Hessian", 2.0, 1, scale, gradient_remainder, subject.precision)
    return DerivativeCheck(
        "Hessian",
        3.0,
        by_values.slope,
        by_gradients.error,
        by_values.ok and by_gradients.ok,
        by_values.steps,
        by_values.remainders,
    )


def _check_third(subject: _Subject, w: Array, v: Array, u: Array) -> DerivativeCheck:
    hvp, third = subject.hvp, subject.third_vector
    if hvp is None or third is None:
        raise TypeError("the third derivative is checked against Hessian-vector products.")
    base, slope = hvp(w, u), third(w, v, u)

    def remainder(h: float) -> tuple[Array, Array]:
        moved = hvp(w + h * v, u)
        rest = row_norms(moved - base - h * slope)
        size = row_norms(moved) + row_norms(base)
        return rest, size + _of_argument(lambda z: third(z, v, u), w, h * v)

    scale = row_norms(slope)
    return _taylor("third derivative", 2.0, 1, scale, remainder, subject.precision)


def _of_argument(derivative: Callable[[Array], Array], w: Array, step: Array) -> Array:
    """Return (||w|| + ||step||) ||derivative(w + step)|| by rows: rounding the argument moves values by eps of it.

    It counts where values are small for cancellation inside, such as squares of residuals near zero.
    """
    reach = vector_norm(w) + vector_norm(step)
    return np.asarray(reach * row_norms(derivative(w + step)))


def _check_matrix(subject: _Subject, w: Array, v: Array) -> list[DerivativeCheck]:
    if subject.hessian is None or subject.hvp is None:
        return []
    matrix = subject.hessian(w)
    return [
        _identity("Hessian symmetric", matrix, matrix.transpose(0, 2, 1), subject.precision),
        _identity("Hessian times v = HVP", matrix @ v, subject.hvp(w, v), subject.precision),
    ]


def _check_cube(subject: _Subject, w: Array, v: Array, u: Array) -> list[DerivativeCheck]:
    if subject.third is None or subject.third_vector is None:
        return []
    product, turned = subject.third(w, v) @ u, subject.third(w, u) @ v
    vector = subject.third_vector(w, v, u)
    return [
        _identity("third derivative symmetric", product, turned, subject.precision),
        _identity("third times u = product", product, vector, subject.precision),
    ]


def _identity(
    name: str, one: Array, other: Array, precision: Callable[[], float]
) -> DerivativeCheck:
    scale = float(np.abs(one).max()) + float(np.abs(other).max())
    gap = float(np.abs(one - other).max())
    error = gap / scale if scale > 0 else 0.0
    none = np.empty(0)
    ok = bool(error <= max(LARGEST_GAP, EQUAL * precision()))
    return DerivativeCheck(name, 0.0, math.nan, error, ok, none, none)


def _taylor(
    name: str,
    expected: float,
    power: int,
    scale: Any,
    remainder: Callable[[float], tuple[Array, Array]],
    precision: Callable[[], float],
) -> DerivativeCheck:
    """Judge one Taylor remainder; ``scale`` is the derivative's size, ``h**power`` its factor."""
    # Of +h and -h together: a h^2 + b h^3 passes through 0 on one side, and its order is none there.
    evaluated = [(remainder(float(h)), remainder(-float(h))) for h in STEPS]
    rests = np.sqrt(0.5) * np.array([np.hypot(up, down) for (up, _), (down, _) in evaluated])
    eps = precision()  # known only now that the functions have returned something
    sizes = np.array([np.maximum(up, down) for (_, up), (_, down) in evaluated])
    noises = ROUNDING * eps * sizes
    errors = (rests / STEPS[:, None] ** power) / (np.asarray(scale) + 1e-300)
    best = np.where(np.isnan(errors), np.inf, errors).min(axis=0)
    slopes, fits = [], []
    for task in range(rests.shape[1]):
        # What is left at the smallest steps may be rounding that no size shows; a power law rises above it.
        floor = 4.0 * rests[-WINDOW:, task].max()
        clear = rests[:, task] > np.maximum(noises[:, task], floor)
        slope = _slope_at_small_steps(STEPS[clear], rests[clear, task])
        finite = bool(np.isfinite(rests[:, task]).all())
        slopes.append(slope)
        fits.append(finite and slope >= expected - SLOPE_MARGIN)
        if eps > DOUBLE_PRECISION and finite and clear.any():
            # Few steps are clear of its rounding, too few for an order; a difference quotient is as good as this.
            resolved = math.isfinite(slope) and fits[-1]
            fits[-1] = resolved or bool(best[task] <= QUOTIENT * eps ** (1.0 / expected))
    worst = int(np.argmin(slopes))
    error = float(best.max())
    return DerivativeCheck(
        name, expected, float(slopes[worst]), error, all(fits), STEPS, rests[:, worst]
    )


def _slope_at_small_steps(steps: Array, remainders: Array) -> float:
    """Return the log-log slope of the last few clear remainders; infinite if all are rounding."""
    if steps.size < WINDOW:
        return math.inf
    h, r = np.log(steps[-WINDOW:]), np.log(remainders[-WINDOW:])
    return float(np.polyfit(h, r, 1)[0])

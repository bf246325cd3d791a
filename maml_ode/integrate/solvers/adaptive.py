"""What our ``OdeSolver`` classes share: arguments, counting, trial steps and their acceptance."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import DenseOutput, OdeSolver

from maml_ode._validation import Array, check_real
from maml_ode.integrate.solvers.control import LARGEST_STEP, StepController, first_step_size

__all__ = ["SMALLEST_RTOL", "AdaptiveSolver", "RightHandSide", "beyond", "too_small"]

RightHandSide = Callable[[float, Array], npt.ArrayLike]
SMALLEST_RTOL = 100 * float(np.finfo(float).eps)


class AdaptiveSolver(OdeSolver):  # type: ignore[misc]
    """A one-step method with error control: SciPy's ``OdeSolver`` with a loop over trial steps.

    A subclass attempts a step and returns its error relative to the tolerance; the loop accepts it, or shortens
    it and tries again. A trial whose new state or derivative is not finite has infinite error. The loop ends: a
    step shorter than ten spacings of t, or a derivative that is not finite at t0, fails with a message.

    A right-hand side may carry more than a function: ``fun.native``, the handle of a native field (see
    ``maml_ode.compiled.fields``), lets all stages of a step run in one compiled call, after which
    ``fun.charge(n)`` is told of the n evaluations, and ``fun.remember(y, f)``, if there is one, of the value
    at the accepted state; ``fun.autonomous`` promises that it does not depend on t. The numbers are those of
    stage-by-stage calls.

    Attributes
    ----------
    n_rejected : int
        Trial steps rejected so far.
    error_order : int
        The power of h that the error estimate shrinks with.
    """

    error_order: int

    @classmethod
    @abstractmethod
    def make_controller(cls) -> StepController:
        """Return a fresh step-size controller."""

    def __init__(
        self,
        fun: RightHandSide,
        t0: float,
        y0: npt.ArrayLike,
        t_bound: float,
        vectorized: bool,
        *,
        rtol: npt.ArrayLike,
        atol: npt.ArrayLike,
        max_step: float,
        first_step: float | None,
        extraneous: Mapping[str, Any],
    ) -> None:
        name = type(self).__name__
        if extraneous:
            warnings.warn(
                f"{name} does not use the option(s) {', '.join(sorted(extraneous))}.",
                UserWarning,
                stacklevel=3,
            )
        super().__init__(fun, t0, y0, t_bound, vectorized, support_complex=False)
        self.t: float = t0
        self.y: Array = np.array(self.y, dtype=np.float64)
        self.max_step = math.inf if max_step == math.inf else check_real("max_step", max_step)
        if self.max_step <= 0:
            raise ValueError(f"max_step must be positive, not {max_step}.")
        self.rtol, self.atol = _tolerances(rtol, atol, self.n)
        self.native = None if vectorized else getattr(fun, "native", None)
        self._charge_fun = getattr(fun, "charge", None)
        if self._charge_fun is None:
            self.native = None
        self._remember_fun = getattr(fun, "remember", None)
        self.autonomous = self.native is not None or bool(getattr(fun, "autonomous", False))
        self.controller = self.make_controller()
        self.n_rejected = 0
        self.y_old: Array | None = None
        self._interpolant: DenseOutput | None = None
        self.f = self._first_derivative()
        self._defect = ""
        if not np.isfinite(self.f).all():
            self._defect = f"The right-hand side is not finite at t = {t0:.6g}."
        self.h_abs = self._first_step(first_step)

    def _first_derivative(self) -> Array:
        f = np.array(self.fun(self.t, self.y), dtype=np.float64)
        if f.shape != (self.n,):
            raise ValueError(
                f"fun must return shape ({self.n},), the shape of y0, but it returned shape {f.shape}."
            )
        return f

    def _first_step(self, first_step: float | None) -> float:
        if first_step is not None:
            h = check_real("first_step", first_step)
            if h <= 0:
                raise ValueError(f"first_step must be positive, not {first_step}.")
            if h > abs(self.t_bound - self.t):
                raise ValueError(
                    f"first_step = {h:g} exceeds the interval of length {abs(self.t_bound - self.t):g}."
                )
            return h
        if self._defect:
            return 0.0
        if self.native is not None:
            return self._native_first_step()
        return first_step_size(
            self.fun, self.t, self.y, self.f, self.t_bound, self.direction, self.max_step,
            self.error_order - 1, self.rtol, self.atol,
        )  # fmt: skip

    def _native_first_step(self) -> float:
        """Do what `first_step_size` does, in one compiled call."""
        from maml_ode.integrate.solvers.kernels.step_control import first_step

        length = abs(self.t_bound - self.t)
        if self.n == 0 or length == 0.0:
            return 0.0
        y_1, f_1 = np.empty(self.n), np.empty(self.n)
        self._charge(1)
        h, evaluations = first_step(
            self.native, self.t, self.direction, length, self.max_step, self.error_order - 1,
            self.rtol, self.atol, self.y, self.f, y_1, f_1,
        )  # fmt: skip
        if evaluations > 1:
            self._charge(evaluations - 1)
        if self._remember_fun is not None and not np.isfinite(f_1).all():
            self._remember_fun(y_1, f_1)
        return float(h)

    def _charge(self, evaluations: int) -> None:
        """Count evaluations that a native field is about to make."""
        self.nfev += evaluations
        if self._charge_fun is not None:
            self._charge_fun(evaluations)

    @abstractmethod
    def _attempt(self, t: float, h: float, t_new: float) -> tuple[float, Array]:
        """Try a step of signed size ``h``; return its error relative to the tolerance, and the new state."""

    @abstractmethod
    def _accept(self, y_new: Array) -> None:
        """Take over what the last attempt left behind; called before ``self.y`` changes."""

    @abstractmethod
    def _interpolate(self) -> DenseOutput:
        """Build the interpolant of the last accepted step."""

    def _prepare(self, h_abs: float) -> str:
        """Do what a step needs once however many trials it takes; return why it is impossible, or ''."""
        return ""

    def _largest_step(self) -> float:
        """Return a bound on the step size, asked for after ``_prepare``."""
        return math.inf

    def _step_impl(self) -> tuple[bool, str | None]:
        if self._defect:
            return False, self._defect
        t = self.t
        longest = LARGEST_STEP if math.isinf(self.t_bound) else math.inf
        if abs(t) >= longest:
            return False, beyond(t)
        smallest = 10 * abs(np.nextafter(t, self.direction * math.inf) - t)
        h_abs = min(max(self.h_abs, smallest), self.max_step, longest)
        problem = self._prepare(h_abs)
        if problem:
            return False, problem
        h_abs = min(h_abs, self._largest_step())
        rejected = False
        finite = True
        while True:
            t_new = t + h_abs * self.direction
            if self.direction * (t_new - self.t_bound) > 0:
                t_new = self.t_bound
            elif h_abs < smallest:
                return False, too_small(t, finite)
            h = float(t_new - t)
            error, y_new = self._attempt(t, h, t_new)
            if error < 1.0:
                break
            finite = math.isfinite(error)
            self.n_rejected += 1
            rejected = True
            h_abs = abs(h) * self.controller.after_rejection(error)
            if t + h_abs * self.direction == t:
                return False, too_small(t, finite)
        self.y_old = self.y
        self._accept(y_new)
        self._interpolant = None
        self.t, self.y = t_new, y_new
        self.h_abs = abs(h) * self.controller.after_acceptance(error, abs(h), rejected)
        if self._remember_fun is not None and self.native is not None:
            self._remember()
        return True, None

    def _remember(self) -> None:
        """Tell the right-hand side its value at the accepted state, where the method has it."""
        if self._remember_fun is not None:
            self._remember_fun(self.y, self.f)

    def _dense_output_impl(self) -> DenseOutput:
        if self._interpolant is None:
            self._interpolant = self._interpolate()
        return self._interpolant


def beyond(t: float) -> str:
    """Return why a run that has come to ``t`` ends there."""
    return f"Nothing but the horizon ends this run, at t = {t:.3g}; give a finite one."


def too_small(t: float, finite: bool) -> str:
    """Return why there is no step from ``t``; ``finite`` says whether the last trial met finite numbers only."""
    if finite:
        return f"{OdeSolver.TOO_SMALL_STEP} (t = {t:.6g})"
    return f"Every trial step from t = {t:.6g} met a right-hand side that is not finite."


def _tolerances(rtol: npt.ArrayLike, atol: npt.ArrayLike, n: int) -> tuple[Array, Array]:
    """Return rtol and atol, one entry per component."""
    pair = []
    for name, value in (("rtol", rtol), ("atol", atol)):
        array = np.asarray(value, dtype=np.float64)
        if array.shape not in ((), (n,)):
            raise ValueError(
                f"{name} must be a number or have shape ({n},), but it has wrong shape {array.shape}."
            )
        if not (array >= 0).all():
            raise ValueError(f"{name} must be positive, not {value!r}.")
        pair.append(np.array(np.broadcast_to(array, (n,))))
    if (pair[0] < SMALLEST_RTOL).any():
        warnings.warn(
            f"rtol is below {SMALLEST_RTOL:.3g}, which rounding does not allow; it is raised to that.",
            UserWarning,
            stacklevel=4,
        )
        pair[0] = np.maximum(pair[0], SMALLEST_RTOL)
    return pair[0], pair[1]

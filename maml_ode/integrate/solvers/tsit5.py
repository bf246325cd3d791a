"""Tsit5: the explicit pair of order 5(4) of Tsitouras."""

from __future__ import annotations

from maml_ode.integrate.solvers.control import StepController
from maml_ode.integrate.solvers.explicit import ExplicitRungeKutta
from maml_ode.integrate.solvers.tableaux import TSIT5

__all__ = ["Tsit5"]


class Tsit5(ExplicitRungeKutta):
    """Explicit Runge-Kutta pair of order 5(4) with a free interpolant of order 4.

    Six evaluations a step; the seventh stage is the first of the next step. Step sizes by PI control.
    A method of moderate tolerances (1e-3 to 1e-8) for flows that are not stiff: its stability bounds the step
    by about 3.5/lambda_max.

    Parameters
    ----------
    fun : callable
        ``fun(t, y) -> (n,)``; see `AdaptiveSolver` for native right-hand sides.
    t0, t_bound : float
        Begin and end; the end may lie before the beginning.
    y0 : array_like of shape (n,)
        Real initial state.
    max_step, first_step : float
        Largest and first step size.
    rtol, atol : float or array_like of shape (n,)
        A step is accepted when the root mean square of its error over atol + rtol max(|y|, |y_new|) is below 1.
    vectorized : bool
        Whether ``fun`` also accepts ``y`` of shape (n, k).

    Raises
    ------
    ValueError
        For tolerances of wrong shape or negative, a step that is not positive, a first step beyond the
        interval, a y0 that is not finite, or a ``fun`` of wrong shape.

    References
    ----------
    Ch. Tsitouras, "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption",
    Computers and Mathematics with Applications 62 (2011), DOI 10.1016/j.camwa.2011.06.002.

    Examples
    --------
    >>> from scipy.integrate import solve_ivp
    >>> from maml_ode.integrate.solvers import Tsit5
    >>> run = solve_ivp(lambda t, y: -y, (0, 1), [1.0], method=Tsit5, rtol=1e-8, atol=1e-10)
    >>> round(float(run.y[0, -1]), 7)
    0.3678794
    """

    tableau = TSIT5
    error_order = 5

    @classmethod
    def make_controller(cls) -> StepController:
        """Return a PI controller with the exponents of Hairer and Wanner II, section IV.2."""
        return StepController(order=5, integral=0.7 / 5, proportional=0.4 / 5)

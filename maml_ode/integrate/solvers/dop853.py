"""DOP853: the explicit method of order 8(5,3) of Dormand, Prince, Hairer and Wanner."""

from __future__ import annotations

from maml_ode.integrate.solvers.control import StepController
from maml_ode.integrate.solvers.dop853_tableau import DOP853_ERROR_3, DOP853_TABLEAU
from maml_ode.integrate.solvers.explicit import ExplicitRungeKutta

__all__ = ["DOP853"]


class DOP853(ExplicitRungeKutta):
    """Explicit Runge-Kutta method of order 8(5,3) with an interpolant of order 7.

    Twelve evaluations a step, three more where dense output is asked for. The step sizes are those of
    ``scipy.integrate.DOP853``, with the stages compiled. A method of sharp tolerances (1e-6 to 1e-13) for flows
    that are not stiff: its stability bounds the step by about 6/lambda_max.

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
        A step is accepted when its error, weighted with atol + rtol max(|y|, |y_new|), is below 1.
    vectorized : bool
        Whether ``fun`` also accepts ``y`` of shape (n, k).

    Raises
    ------
    ValueError
        For tolerances of wrong shape or negative, a step that is not positive, a first step beyond the
        interval, a y0 that is not finite, or a ``fun`` of wrong shape.

    References
    ----------
    Hairer, Norsett and Wanner, "Solving Ordinary Differential Equations I", 2nd edition (1993), section II.10,
    DOI 10.1007/978-3-540-78862-1.

    Examples
    --------
    >>> from scipy.integrate import solve_ivp
    >>> from maml_ode.integrate.solvers import DOP853
    >>> run = solve_ivp(lambda t, y: -y, (0, 1), [1.0], method=DOP853, rtol=1e-10, atol=1e-12)
    >>> round(float(run.y[0, -1]), 9)
    0.367879441
    """

    tableau = DOP853_TABLEAU
    second_error = DOP853_ERROR_3
    error_order = 8

    @classmethod
    def make_controller(cls) -> StepController:
        """Return the standard controller."""
        return StepController(order=8)

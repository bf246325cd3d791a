"""The named flows: gradient flow, MAML, BI-MAML, FO-MAML, Reptile, momentum, Nesterov, what Euler follows."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from maml_ode._validation import check_choice, check_real
from maml_ode.flows.flow import Flow, Phase, Until
from maml_ode.flows.inner_step_fields import FirstOrderField, ReptileField
from maml_ode.flows.modified_field import ModifiedField
from maml_ode.flows.second_order_fields import MomentumField, NesterovField
from maml_ode.flows.switch_rules import GradientNormBelow, OnlineSwitch
from maml_ode.objectives import Aggregate, ExpectedLoss, MAMLLoss, Objective, checked_objective
from maml_ode.tasks.base import TaskFamily

__all__ = [
    "bimaml_flow",
    "fomaml_flow",
    "gradient_flow",
    "maml_flow",
    "modified_flow",
    "momentum_flow",
    "nesterov_flow",
    "reptile_flow",
]


def gradient_flow(objective: Objective) -> Flow:
    """Return the gradient flow w' = -grad objective(w).

    Parameters
    ----------
    objective : Objective

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]]], [[1.0]])
    >>> mo.gradient_flow(mo.ExpectedLoss(tasks)).name
    'gradient flow'
    """
    return Flow([Phase(checked_objective(objective))], objective, name="gradient flow")


def maml_flow(tasks: TaskFamily, alpha: npt.ArrayLike, **kw: Any) -> Flow:
    """Return the MAML ODE w' = -grad F(w), equation (3.2) of Xu, Chen and Karbasi (AISTATS 2021).

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size, as in `MAMLLoss`.
    **kw
        ``inner_steps``, ``query``, ``aggregate`` and ``threads`` of `MAMLLoss`.

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> flow = mo.maml_flow(tasks, alpha=0.1)
    >>> run = mo.solve(flow, [10.0])
    >>> steps = mo.euler(flow, [10.0], step_size=0.1, max_iter=200)  # MAML
    >>> run.stop.name, bool(abs(run.w - steps.w)[0] < 1e-6)
    ('STATIONARY', True)
    """
    objective = MAMLLoss(tasks, alpha, **kw)
    return Flow([Phase(objective)], objective, name="MAML")


def bimaml_flow(
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    switch_tol: float | None = None,
    *,
    rule: str = "one_way",
    switch: str = "tolerance",
    cost_ratio: float = 3.0,
    **kw: Any,
) -> Flow:
    """Return the BI-MAML ODE: w' = -grad f until ||grad f|| <= switch_tol, then w' = -grad F.

    "BI" is biphasic (Algorithm 2 of Xu, Chen and Karbasi). The printed algorithm has its test inverted,
    repeats it in every iteration, and multiplies the right-hand side by the step size; the default here is
    the text's order with a one-way switch, without that factor.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size, as in `MAMLLoss`.
    switch_tol : float
        eps0 >= 0, in the units of the gradient; left out with ``switch="auto"``.
    rule : {"one_way", "as_printed", "retest"}
        See `SwitchRule`.
    switch : {"tolerance", "auto"}
        "auto" leaves phase 1 by `maml_ode.flows.OnlineSwitch`, which needs no eps0 and costs one
        Hessian-vector product a look; theory derives it (`mo.theory.switch_advice`).
    cost_ratio : float
        For "auto": what an evaluation of grad F costs in gradients, times the ratio of the phases' rates;
        above 1.
    **kw
        ``inner_steps``, ``query``, ``aggregate`` and ``threads`` of `MAMLLoss`.

    Returns
    -------
    Flow

    Raises
    ------
    TypeError
        For a switch_tol beside ``switch="auto"``, or none without it.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> flow = mo.bimaml_flow(tasks, alpha=0.1, switch_tol=0.5)
    >>> steps = mo.euler(flow, [10.0], step_size=0.1, max_iter=30)  # BI-MAML
    >>> int(steps.phase.argmax()), [phase.field.label for phase in flow.phases]
    (17, ['-grad f', '-grad F'])
    """
    objective = MAMLLoss(tasks, alpha, **kw)
    task_loss = ExpectedLoss(tasks, objective.aggregate, objective.threads)
    ratio = check_real("cost_ratio", cost_ratio, minimum=1.0, strict=True)
    until: Until
    if check_choice("switch", switch, ("tolerance", "auto")) == "auto":
        if switch_tol is not None:
            raise TypeError("switch='auto' finds its own switch; leave switch_tol out.")
        until = OnlineSwitch(tasks, objective.alpha, math.sqrt(ratio - 1.0))
    else:
        if switch_tol is None:
            raise TypeError("bimaml_flow needs switch_tol, or switch='auto'.")
        until = GradientNormBelow(task_loss, switch_tol)
    return Flow([Phase(task_loss, until=until), Phase(objective)], objective, rule, name="BI-MAML")


def fomaml_flow(tasks: TaskFamily, alpha: npt.ArrayLike, **kw: Any) -> Flow:
    """Return the first-order MAML flow w' = -sum_i p_i grad f_i(u_i).

    Its trajectories are judged by F where the family has Hessian-vector products, else by f. In general it
    does not end at a stationary point of F.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size, as in `MAMLLoss`.
    **kw
        ``inner_steps``, ``query``, ``aggregate`` and ``threads`` of `MAMLLoss`.

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> first = mo.solve(mo.fomaml_flow(tasks, alpha=0.1), [10.0])
    >>> second = mo.solve(mo.maml_flow(tasks, alpha=0.1), [10.0])
    >>> first.counts.hvps
    0
    >>> bool(abs(first.w - second.w)[0] > 0.01)  # it ends elsewhere
    True
    """
    field = FirstOrderField(tasks, alpha, **kw)
    return Flow([Phase(field)], _judge(tasks, alpha, **kw), name="FO-MAML")


def reptile_flow(
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    inner_steps: int = 1,
    aggregate: Aggregate = "auto",
    threads: int = 1,
) -> Flow:
    """Return the Reptile flow w' = sum_i p_i (u_i - w)/alpha, u_i after ``inner_steps`` inner steps.

    Judged by F with the same alpha, inner steps, ``aggregate`` and ``threads`` where the family has
    Hessian-vector products, else by f.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size.
    inner_steps : int
    aggregate : "auto" or False
        As in `MAMLLoss`.
    threads : int
        As in `MAMLLoss`.

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> flow = mo.reptile_flow(tasks, alpha=0.1, inner_steps=5)
    >>> mo.solve(flow, [10.0]).stop.name
    'STATIONARY'
    """
    field = ReptileField(tasks, alpha, inner_steps, aggregate, threads)
    judge = _judge(tasks, alpha, inner_steps=inner_steps, aggregate=aggregate, threads=threads)
    return Flow([Phase(field)], judge, name="Reptile")


def modified_flow(objective: Objective, step_size: float) -> Flow:
    """Return the flow of F + step_size/4 ||grad F||^2, which Euler's iterates follow to second order.

    Barrett and Dherin, "Implicit Gradient Regularization", ICLR 2021, arXiv:2009.11162.

    Parameters
    ----------
    objective : Objective
    step_size : float
        Euler's, above 0.

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> steps = mo.euler(mo.gradient_flow(F), [10.0], 0.05, max_iter=20).w[0]
    >>> gaps = [abs(mo.solve(flow, [10.0], t_max=1.0).w[0] - steps)
    ...         for flow in (mo.gradient_flow(F), mo.modified_flow(F, 0.05))]
    >>> bool(gaps[1] < 0.1 * gaps[0])
    True
    """
    field = ModifiedField(objective, step_size)
    return Flow([Phase(field)], objective, name="modified flow")


def momentum_flow(objective: Objective, friction: float) -> Flow:
    """Return the momentum flow w'' + friction w' + grad objective(w) = 0 with w'(0) = 0.

    Its state is z = (w, w'). `euler` on it is heavy ball: with v_0 = 0 and h the step size,
    v_{k+1} = (1 - friction h) v_k - h grad F(w_k), w_{k+1} = w_k + h v_{k+1}, that is the step h^2 with the
    momentum 1 - friction h (B. T. Polyak, USSR Comp. Math. Math. Phys. 4(5), 1964). F + ||w'||^2/2 falls along it.
    It is at rest where both ||grad F|| and ||w'|| are at most ``tol``, each as a number.

    Parameters
    ----------
    objective : Objective
    friction : float
        At least 0. With 0 the energy is kept, and the flow comes to no rest.

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> flow = mo.momentum_flow(mo.MAMLLoss(tasks, alpha=0.1), friction=2.0)
    >>> run = mo.solve(flow, [10.0])
    >>> run.stop.name, round(float(run.w[0]), 6), run.y.shape[0], run.z.shape[0]
    ('STATIONARY', 0.421053, 1, 2)
    """
    field = MomentumField(objective, friction)
    return Flow([Phase(field)], objective, name="momentum flow")


def nesterov_flow(objective: Objective, r: float = 3.0) -> Flow:
    """Return Nesterov's flow w'' + (r/t) w' + grad objective(w) = 0 with w'(0) = 0.

    Its state is z = (w, w', t), and the path is regular at t = 0, with w'/t -> -grad F(w0)/(1 + r). `euler` on it
    is Nesterov's method with s = h^2, h the step size: x_0 = y_0 = w0, and for k = 1, 2, ...
    x_k = y_{k-1} - s grad F(y_{k-1}), y_k = x_k + (k - 1)/(k + r - 1) (x_k - x_{k-1}); column k of ``y`` is x_k.
    For convex F and r >= 3, F - F* <= (r - 1)^2 ||w0 - w*||^2/(2 t^2). (W. Su, S. Boyd and E. J. Candes, "A
    Differential Equation for Modeling Nesterov's Accelerated Gradient Method", JMLR 17(153), 2016.) It is at rest
    where both ||grad F|| and ||w'|| are at most ``tol``, each as a number.

    Parameters
    ----------
    objective : Objective
    r : float
        At least 1; the bound needs 3.

    Returns
    -------
    Flow

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> run = mo.solve(mo.nesterov_flow(F), [10.0], t_max=20.0)
    >>> end = mo.solve(mo.gradient_flow(F), [10.0], tol=1e-10)
    >>> bound = 2 * (10.0 - end.w[0]) ** 2 / run.t[1:] ** 2
    >>> bool((run.loss[1:] - end.loss[-1] <= bound).all())
    True
    """
    field = NesterovField(objective, r)
    return Flow([Phase(field)], objective, name="Nesterov flow")


def _judge(tasks: TaskFamily, alpha: npt.ArrayLike, **kw: Any) -> Objective:
    if tasks.has_hvps:
        return MAMLLoss(tasks, alpha, **kw)
    return ExpectedLoss(tasks, kw.get("aggregate", "auto"), kw.get("threads", 1))

"""Limits on the inner step size alpha and on the outer step size beta."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_real, unknown_name
from maml_ode.objectives import ExpectedLoss, MAMLLoss, Objective, checked_objective
from maml_ode.sizes import MATRIX_ONCE
from maml_ode.theory.bounds import printed, products
from maml_ode.theory.bounds.flow_times import closed_form_alpha, unique_minimum_level
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.bounds.sublevel_sets import landscapes
from maml_ode.theory.family_constants.find import constants
from maml_ode.theory.family_constants.model import Constants, checked_constants
from maml_ode.theory.quantities import Quantity, Status, worst
from maml_ode.theory.regions import Ball, Interval, Region, Sublevel, enclosing_ball
from maml_ode.theory.step_size import outside_theory

__all__ = ["AlphaLimit", "AlphaLimits", "alpha_limits", "step_size_limit"]


@dataclass(frozen=True)
class AlphaLimit:
    """One limit on alpha.

    Attributes
    ----------
    name : str
    printed : bool
        Whether it is the paper's or the corrected one.
    terms : dict of str to float
        What the limit is the minimum of; W^2/E.
    note : str
    """

    name: str
    printed: bool
    terms: dict[str, float]
    note: str = ""

    @property
    def value(self) -> float:
        """The smallest term."""
        return min(self.terms.values())

    @property
    def binding(self) -> str:
        """The name of the smallest term."""
        return min(self.terms, key=self.terms.__getitem__)


class AlphaLimits(tuple[AlphaLimit, ...]):
    """Limits on alpha; index by position or by name.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> limits = mo.theory.alpha_limits(mo.theory.constants(tasks))
    >>> limits[0] is limits[limits[0].name]
    True
    >>> [limit.name for limit in limits if limit.printed][:1]
    ['Theorem B.2']
    """

    @overload  # type: ignore[override]
    def __getitem__(self, key: str) -> AlphaLimit: ...
    @overload
    def __getitem__(self, key: int) -> AlphaLimit: ...
    def __getitem__(self, key: int | str) -> AlphaLimit:
        """Return a limit by position or by name."""
        if isinstance(key, str):
            for limit in self:
                if limit.name == key:
                    return limit
            raise KeyError(unknown_name("limit", key, [limit.name for limit in self]))
        return super().__getitem__(key)

    def passed(self, alpha: float) -> list[str]:
        """Return the names of the limits that ``alpha`` respects."""
        return [limit.name for limit in self if alpha < limit.value]

    def to_markdown(self) -> str:
        """Return a table: name, source, value, binding term, note."""
        rows = ["| limit on alpha | form | value | binding term | note |", "|---|---|---|---|---|"]
        for limit in self:
            form = "printed" if limit.printed else "corrected"
            rows.append(
                f"| {limit.name} | {form} | {limit.value:.4g} | {limit.binding} | {limit.note} |"
            )
        return "\n".join(rows)

    def table(self) -> str:
        """Return the same in aligned columns."""
        width = max(len(limit.name) for limit in self)
        return "\n".join(
            f"{limit.name:{width}s}  {'printed' if limit.printed else 'corrected':9s}  "
            f"{limit.value:11.4g}  {limit.binding}"
            for limit in self
        )


@np.errstate(all="ignore")  # what is not finite decides nothing
def alpha_limits(
    constants: Constants, switch_tol: float | None = None, K: float | None = None
) -> AlphaLimits:
    """Return the printed and the corrected limits on alpha (**lower** bounds), each with its binding term.

    The printed ones change when f and alpha are rescaled together (f -> s f, alpha -> alpha/s),
    because they mix units; the corrected ones do not.

    Parameters
    ----------
    constants : Constants
    switch_tol : float, optional
        eps0; adds Theorem 3.7 and its correction.
    K : float, optional
        Bound of ||grad F|| in Theorem 3.9; 0 by default, the most favourable case.

    Returns
    -------
    AlphaLimits
        Empty limits are 0: for mu <= 0 no theorem applies.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> limits = mo.theory.alpha_limits(mo.theory.constants(tasks), switch_tol=0.1)
    >>> sorted(limit.name for limit in limits)[:2]
    ['BI-MAML, closed form', 'Theorem B.2']
    """
    k = checked_constants(constants)
    switch_tol = None if switch_tol is None else check_real("switch_tol", switch_tol, minimum=0.0)
    K = None if K is None else check_real("K", K, minimum=0.0)
    mu, L, kappa, sigma = k.mu.value, k.L.value, k.kappa.value, k.sigma.value
    if not (mu > 0 and L > 0):
        return AlphaLimits(
            [
                AlphaLimit(
                    "all theorems", False, {"mu > 0": 0.0}, "the tasks are not strongly convex"
                )
            ]
        )
    limits = [*_printed(mu, L, kappa, sigma, switch_tol, K)]
    limits.append(AlphaLimit("Theorem B.2 with 1/15", False, _b2_corrected(mu, L)))
    limits.append(AlphaLimit("psi > 0", False, {"psi = 0": products.psi_limit(mu, L)}))
    zeta = products.zeta_corrected_limit(mu, L)
    limits.append(AlphaLimit("zeta_1 > 0", False, {"zeta_1 = 0": zeta}))

    def half_rate(alpha: float) -> bool:
        return float(products.zeta_corrected(alpha, mu, L)) >= 0.5 * mu

    limits.append(
        AlphaLimit("zeta_1 >= mu/2", False, {"zeta_1 = mu/2": _first_failure(half_rate, zeta)})
    )
    needs = "" if math.isfinite(sigma) else "needs a finite sigma"
    closed = closed_form_alpha(mu, L, kappa, sigma) if not needs else {"sigma": 0.0}
    limits.append(AlphaLimit("unique minimum, closed form", False, closed, needs))
    if switch_tol is not None:
        closed = closed_form_alpha(mu, L, kappa, sigma, switch_tol) if not needs else {"sigma": 0.0}
        limits.append(AlphaLimit("BI-MAML, closed form", False, closed, needs))
    for name, per_task in (("unique minimum", False), ("unique minimum, per task", True)):

        def unique(alpha: float, per_task: bool = per_task) -> bool:
            models = landscapes(k, alpha, per_task=per_task)
            return any(unique_minimum_level(model) is not None for model in models)

        limits.append(AlphaLimit(name, False, {"m(c_inf) = 0": _first_failure(unique, 1.0 / L)}))
    return AlphaLimits(limits)


def _printed(
    mu: float, L: float, kappa: float, sigma: float, switch_tol: float | None, K: float | None
) -> list[AlphaLimit]:
    def limit(name: str, terms: dict[str, float], note: str = "") -> AlphaLimit:
        clean = {key: 0.0 if math.isnan(value) else value for key, value in terms.items()}
        return AlphaLimit(name, True, clean, note)

    limits = [
        limit("Theorem B.2", printed.printed_alpha_b2(mu, L), "third term 3.87 times too large")
    ]
    if math.isfinite(sigma):
        limits.append(limit("Theorem 3.6", printed.printed_alpha_3_6(mu, L, kappa, sigma)))
        if switch_tol is not None:
            terms = printed.printed_alpha_3_7(mu, L, kappa, sigma, switch_tol)
            limits.append(limit("Theorem 3.7", terms))
        radius = 0.0 if K is None else K
        terms = printed.printed_alpha_3_9(mu, L, kappa, sigma, radius)
        limits.append(limit("Theorem 3.9", terms, f"K = {radius:g}; proof needs 1/(4L)"))
        limits.append(limit("Theorem 3.10", printed.printed_alpha_3_10(mu, L, kappa, sigma)))
    for name, share in (("zeta > 0", 0.0), ("zeta > mu/2", 0.5)):

        def holds(alpha: float, share: float = share) -> bool:
            return float(printed.printed_zeta(alpha, mu, L)) > share * mu

        limits.append(limit(name, {"zeta of Lemma 3.8": _first_failure(holds, 1.0 / L)}))
    return limits


def _b2_corrected(mu: float, L: float) -> dict[str, float]:
    terms = printed.printed_alpha_b2(mu, L)
    terms.pop("sqrt(1/15) mu L^(-2)")
    return {**terms, "mu L^(-2)/15": mu / L / L / 15.0}


def _first_failure(holds: Callable[[float], bool], ceiling: float) -> float:
    """Return the first alpha in (0, ceiling) at which ``holds`` fails, by a scan and bisection; or ceiling."""
    if not ceiling > np.finfo(float).tiny or not math.isfinite(ceiling):
        return 0.0
    low = 0.0
    for alpha in np.geomspace(1e-14 * ceiling, ceiling * (1.0 - 1e-12), 120).tolist():
        if not holds(alpha):
            high = alpha
            break
        low = alpha
    else:
        return ceiling
    while low > 0.0 and high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@np.errstate(all="ignore")  # what is not finite decides nothing
def step_size_limit(
    objective: Objective,
    where: npt.ArrayLike | Region,
    constants: Constants | None = None,
) -> Quantity:
    """Return 2/lambda_max(Hess), the limit of Euler's stability: **tight** at a point, **lower** on a region.

    At a point the eigenvalue is computed (by Lanczos above d = 500, an estimate); on a region it is
    bounded. For a quadratic objective it is one number everywhere, exact or on the safe side of its rounding.
    F has no global bound if kappa > 0: use the region in which the run takes place.

    Parameters
    ----------
    objective : ExpectedLoss or MAMLLoss
    where : array_like of shape (d,), Ball, Interval or Sublevel
        A point, or a region: on a ball E||grad f_i|| <= E||grad f_i(z)|| + E L_i R.
    constants : Constants, optional
        Those of ``objective.tasks``; found by `maml_ode.theory.constants` if not given.

    Returns
    -------
    Quantity
        In units of t; its note says where the limit holds. ``inf`` if lambda_max <= 0.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> limit = mo.theory.step_size_limit(F, [0.0])
    >>> bool(abs(limit.value - 2 / F.hessian([0.0])[0, 0]) < 1e-12), limit.status.value
    (True, 'exact')
    """
    checked_objective(objective)
    if not isinstance(where, (Ball, Interval, Sublevel)):
        where = as_point("where", where, objective.dim)
    if constants is not None:
        checked_constants(constants)
    form = objective.quadratic_form
    if form is not None:
        top = QuadraticFacts(form).smoothness
    elif isinstance(where, (Ball, Interval, Sublevel)):
        top = _largest_curvature_on(objective, where, constants)
    else:
        top = largest_eigenvalue(objective, where)
    if not top > 0:
        return Quantity(math.inf, top.status, "no positive curvature")
    return Quantity(2.0 / top, top.status, top.note)


def largest_eigenvalue(objective: Objective, w: Array) -> Quantity:
    """Return lambda_max(Hess) at ``w``."""
    if objective.dim <= MATRIX_ONCE:
        values = np.linalg.eigvalsh(objective.hessian(w))
        return Quantity(float(values[-1]), Status.EXACT, "2/lambda_max at this point only")
    from scipy.sparse.linalg import LinearOperator, eigsh

    shape = (objective.dim, objective.dim)
    operator = LinearOperator(shape, matvec=lambda v: objective.hvp(w, v.ravel()), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(objective.dim)
    value = eigsh(operator, k=1, which="LA", v0=start, tol=1e-6, return_eigenvectors=False)[0]
    return Quantity(float(value), Status.ESTIMATE, "2/lambda_max at this point, by Lanczos")


def _largest_curvature_on(
    objective: Objective, region: Region, known: Constants | None
) -> Quantity:
    tasks = objective.tasks
    k = constants(tasks, region) if known is None else known
    if isinstance(objective, ExpectedLoss):
        return Quantity(k.L_f, k.L_f.status, "2/L_f")
    if not isinstance(objective, MAMLLoss) or objective.inner_steps != 1:
        raise ValueError(
            "a bound on a region is available for ExpectedLoss and for MAMLLoss with inner_steps = 1; "
            "pass a point instead."
        )
    if objective.query is not tasks:
        raise ValueError("with a query family no bound on a region is available; pass a point.")
    reason = outside_theory(objective.alpha)
    if reason:
        raise ValueError(f"{reason}: on a region there is no bound then.")
    alpha = float(objective.alpha)
    status = worst(k.L, k.mu, k.kappa, Status.BOUND)
    contraction = np.maximum(np.abs(1.0 - alpha * k.mu_i), np.abs(1.0 - alpha * k.L_i))
    magnitude = np.maximum(np.abs(k.mu_i), np.abs(k.L_i))
    if isinstance(region, Sublevel) and k.mu > 0 and alpha * k.L <= 1.0:
        models = landscapes(k, alpha)
        top = min(model.smoothness(region.level) for model in models)
        return Quantity(top, worst(status, k.sigma0, k.L_f), "2/M(c) on V(c)")
    ball = enclosing_ball(region, k.minimizer, k.mu_f)
    norms = np.linalg.norm(tasks.gradients(ball.center), axis=1) + magnitude * ball.radius
    # A H+ A <= L_i B_i^2 and ||grad f_i(u_i)|| <= B_i ||grad f_i||, for any alpha
    terms = magnitude * contraction**2 + alpha * k.kappa_i * contraction * norms
    return Quantity(float(k.weights @ terms), status, "2/M on the ball")

"""What is certified: tasks, alpha, constants, and what is known of the start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives import ExpectedLoss, MAMLLoss
from maml_ode.sizes import MATRIX_IN_A_DESCENT
from maml_ode.tasks.base import TaskFamily
from maml_ode.tasks.linear_model import LinearModel
from maml_ode.theory.bounds.flow_times import unique_minimum_level
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.bounds.sublevel_sets import Landscape, landscapes
from maml_ode.theory.certificates.certificate import Hypothesis
from maml_ode.theory.evaluation import (
    all_finite,
    norm,
    objective_gradient,
    task_gradients,
    task_losses,
)
from maml_ode.theory.family_constants.model import Constants, deviation
from maml_ode.theory.minimizer import objective_minimizer
from maml_ode.theory.quantities import Status, worst
from maml_ode.theory.regions import Sublevel, enclosing_ball

__all__ = ["Point", "Setting"]

_DESCENT_STEPS = 300


@dataclass(frozen=True, eq=False)
class Point:
    """What the inequalities need at one point w."""

    w: Array
    gradients: Array
    gradient: Array
    gradient_F: Array
    deviation: float
    mean_norm: float

    @property
    def gradient_norm(self) -> float:
        """||grad f(w)||."""
        return norm(self.gradient)

    @property
    def gradient_F_norm(self) -> float:
        """||grad F(w)||."""
        return norm(self.gradient_F)

    @property
    def finite(self) -> bool:
        """Whether every gradient here is a finite number; else nothing can be said from here."""
        return all_finite(self.gradients, self.gradient_F, self.deviation, self.mean_norm)

    @classmethod
    def at(cls, F: MAMLLoss, w: Array) -> Point:
        """Evaluate the task gradients and grad F at ``w``."""
        p = F.tasks.weights
        gradients = task_gradients(F.tasks, w)
        mean_norm = float(p @ [norm(g) for g in gradients])
        gradient_F = objective_gradient(F, w)
        return cls(w, gradients, p @ gradients, gradient_F, deviation(gradients, p), mean_norm)


@dataclass(frozen=True, eq=False)
class Setting:
    """Tasks, alpha and constants, with the start and the tolerances where they are given."""

    tasks: TaskFamily
    alpha: float
    constants: Constants
    w0: Array | None
    switch_tol: float | None
    tol: float

    @cached_property
    def f(self) -> ExpectedLoss:
        """The expected loss."""
        return ExpectedLoss(self.tasks)

    @cached_property
    def F(self) -> MAMLLoss:
        """The MAML loss."""
        return MAMLLoss(self.tasks, self.alpha)

    @cached_property
    def quadratic(self) -> QuadraticFacts | None:
        """Exact facts, if F is quadratic and its terms are finite numbers."""
        form = self.F.quadratic_form
        return None if form is None or not all_finite(form.G, form.c) else QuadraticFacts(form)

    @cached_property
    def start(self) -> Point | None:
        """The evaluations at w0; None without one, or where they are not finite."""
        if self.w0 is None:
            return None
        point = Point.at(self.F, self.w0)
        return point if point.finite else None

    @cached_property
    def has_start(self) -> Hypothesis:
        """The hypothesis of every statement about a run."""
        if self.w0 is None:
            return Hypothesis("w0 is given", None)
        return Hypothesis("the gradients at w0 are finite", self.start is not None)

    @cached_property
    def models(self) -> list[Landscape]:
        """The landscapes of every noise model; none unless mu > 0 and alpha < 1/L."""
        k = self.constants
        if not (k.mu > 0 and self.alpha * k.L < 1.0 and math.isfinite(k.kappa)):
            return []
        return landscapes(k, self.alpha)

    @cached_property
    def best(self) -> Landscape | None:
        """The model with the strongest convexity at its own c_inf, if any is finite."""
        usable = [model for model in self.models if math.isfinite(model.level_floor)]
        if not usable:
            return None
        return max(usable, key=lambda model: model.strong_convexity(model.level_floor))

    @cached_property
    def certified(self) -> list[Landscape]:
        """The models that prove a unique minimum."""
        return [model for model in self.models if unique_minimum_level(model) is not None]

    @property
    def status(self) -> Status:
        """The worst status of the constants that landscapes use."""
        k = self.constants
        noise = [q for q in (k.sigma, k.sigma0, k.nu) if math.isfinite(q)]
        return worst(k.mu, k.L, k.kappa, k.mu_f, k.L_f, *noise)

    @cached_property
    def solution(self) -> Array | None:
        """A local minimiser of F, computed from w0 or argmin f; None if none was found, or without Hess F."""
        start = self.w0 if self.constants.minimizer is None else self.constants.minimizer
        if start is None or not all_finite(start) or not self.F.has_hessian:
            return None
        if self.tasks.dim > MATRIX_IN_A_DESCENT:
            return None
        return objective_minimizer(self.F, start)

    def standing(self) -> tuple[Hypothesis, ...]:
        """Return the hypotheses shared by all statements of this theory."""
        k = self.constants
        finite_noise = math.isfinite(k.sigma) or (math.isfinite(k.sigma0) and math.isfinite(k.nu))
        positive: bool | None = bool(k.mu > 0)
        if not positive and k.mu.status is not Status.EXACT:
            positive = None
        return (
            Hypothesis("mu > 0 (Assumption 3.3, signed)", positive, f"mu = {k.mu:.4g}"),
            Hypothesis(
                "alpha < 1/L", bool(self.alpha * k.L < 1), f"alpha L = {self.alpha * k.L:.4g}"
            ),
            Hypothesis(
                "Hess f_i Lipschitz (3.5)", math.isfinite(k.kappa), f"kappa = {k.kappa:.4g}"
            ),
            Hypothesis(
                "sd <= sigma0 + nu ||grad f|| (3.4 or affine)",
                finite_noise,
                f"sigma = {k.sigma:.4g}, sigma0 = {k.sigma0:.4g}, nu = {k.nu:.4g}",
            ),
        )

    def inside(self, level: float) -> Hypothesis | None:
        """Return whether V(level) and its one-step images lie where the constants hold; None if everywhere.

        On V(c), ||w - x*|| <= r = sqrt(2 c/mu_f) and ||w_i^+ - x*|| <= (1 - alpha mu) r + alpha
        ||grad f_i(x*)||.
        """
        k = self.constants
        if k.region is None:
            return None
        if isinstance(k.region, Sublevel):
            return Hypothesis(
                f"V({level:.4g}) within the region", bool(level <= k.region.level), "a sublevel set"
            )
        name = "V(c) and its one-step images within the region"
        if k.minimizer is None or not k.mu_f > 0 or not math.isfinite(level):
            return Hypothesis(name, False, "argmin f is not known to lie in it")
        ball = enclosing_ball(k.region, k.minimizer, k.mu_f)
        r = math.sqrt(2.0 * level / k.mu_f)
        forces = max(norm(g) for g in task_gradients(self.tasks, k.minimizer))
        reach = max(r, (1.0 - self.alpha * k.mu) * r + self.alpha * forces)
        reach += float(np.linalg.norm(k.minimizer - ball.center))
        return Hypothesis(
            name, bool(reach <= ball.radius), f"reach {reach:.4g} of {ball.radius:.4g}"
        )

    def lowest_loss(self) -> float | None:
        """Return a lower bound of sum p_i min f_i, or None.

        Where mu_i > 0, f_i(x) - ||grad f_i(x)||^2/(2 mu_i) at any x; the x_i are improved by
        accelerated gradient steps. Losses of linear models are not negative.
        """
        k, tasks = self.constants, self.tasks
        lower = np.full(tasks.n_tasks, 0.0 if isinstance(tasks, LinearModel) else -np.inf)
        convex = (k.mu_i > 0) & np.isfinite(k.L_i)
        if convex.any() and k.region is None:
            origin = np.zeros(tasks.dim) if self.w0 is None else self.w0
            x = np.tile(origin, (tasks.n_tasks, 1))
            momentum, previous = x.copy(), x.copy()
            # a task that is not convex stays where it is: nothing is known of its minimum
            rate = np.where(convex, 1.0 / np.where(convex, k.L_i, 1.0), 0.0)
            root = np.sqrt(np.where(convex, k.mu_i, 0.0) * rate)
            push = np.where(convex, (1.0 - root) / (1.0 + root), 0.0)[:, None]
            for _ in range(_DESCENT_STEPS):
                x = momentum - rate[:, None] * task_gradients(tasks, momentum)
                momentum, previous = x + push * (x - previous), x
            gradients, losses = task_gradients(tasks, x), task_losses(tasks, x)
            if all_finite(gradients, losses):
                gap = (gradients**2).sum(axis=1) / (2.0 * np.where(convex, k.mu_i, 1.0))
                lower = np.where(convex, np.maximum(lower, losses - gap), lower)
        counted = tasks.weights > 0
        total = float(tasks.weights[counted] @ lower[counted])
        return total if math.isfinite(total) else None

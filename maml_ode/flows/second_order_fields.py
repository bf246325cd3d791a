"""Fields of second order in time: momentum, and Nesterov's flow.

w'' + friction w' + grad F(w) = 0 with z = (w, w'), and with friction r/t for Nesterov's flow, whose time t comes
last in z.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array, check_real, evaluation_point
from maml_ode.counts import Counts
from maml_ode.flows.fields import GradientField, VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.objectives import Objective, checked_objective

__all__ = ["MechanicalEnergy", "MomentumField", "NesterovField", "SecondOrderField"]


@dataclass(frozen=True)
class MechanicalEnergy:
    """F(w) + ||v||^2/2, which falls along w'' + c w' + grad F = 0 at the rate c ||v||^2."""

    field: SecondOrderField

    @property
    def precision(self) -> float:
        """That of the losses."""
        return self.field.precision

    @property
    def value_cost(self) -> Counts:
        """What a value of F costs."""
        return self.field.objective.value_cost

    def value(self, z: Array, /) -> float:
        """Return F(w) + ||v||^2/2."""
        d = self.field.dim
        return self.field.objective.value(z[:d]) + self.kinetic(z)

    def kinetic(self, z: Array) -> float:
        """Return ||v||^2/2."""
        v = self.field.velocity(z)
        return 0.5 * float(v @ v)

    def root_of_rate(self, z: Array) -> Array:
        """Return sqrt(c) v, whose squared norm is the rate at which the energy falls."""
        return np.asarray(np.sqrt(self.field.friction_at(z)) * self.field.velocity(z))


class SecondOrderField(LiftedField):
    """w'' + c w' + grad F(w) = 0 as a field on (w, v), v = w'.

    A state is at rest where both ||grad F|| and ||v|| are at most ``tol``, each as a number: v is compared with
    ``tol`` as the velocity -grad F of the gradient flow is.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = checked_objective(objective)
        self.driving = GradientField(self.objective)
        self.dim = self.objective.dim
        self.cost = self.objective.gradient_cost
        self.jacobian_cost = self.objective.hessian_cost

    @property
    def precision(self) -> float:
        """That of the losses."""
        return self.objective.precision

    @property
    def smoothness(self) -> int:
        """One derivative fewer than the objective."""
        return self.driving.smoothness

    @property
    def is_summed(self) -> bool:
        """Whether the objective is."""
        return self.driving.is_summed

    @property
    def has_jacobian(self) -> bool:
        """Whether the objective has a Hessian."""
        return self.driving.has_jacobian

    @property
    def jvp_cost(self) -> Counts:
        """One Hessian-vector product of the objective."""
        return self.objective.hvp_cost

    @cached_property
    def energy(self) -> MechanicalEnergy:
        """F(w) + ||v||^2/2."""
        return MechanicalEnergy(self)

    @property
    def state_dim(self) -> int:
        """2 d."""
        return 2 * self.dim

    def observe(self, z: Array) -> Array:
        """Return w."""
        return z[: self.dim]

    def velocity(self, z: Array) -> Array:
        """Return v."""
        return z[self.dim : 2 * self.dim]

    def lift(self, w: Array) -> Array:
        """Return (w, 0)."""
        return np.concatenate([w, np.zeros(self.state_dim - self.dim)])

    @property
    @abstractmethod
    def friction_number(self) -> float:
        """The number that the friction is made of: c itself, or r."""

    @cached_property
    def native(self) -> Any | None:
        """The handle for compiled steppers, None where F can only be evaluated from Python."""
        affine, c = self.driving.affine, self.friction_number
        if affine is None and self.driving.native is None:
            return None
        from maml_ode.compiled.second_order import second_order_field, second_order_quadratic

        if affine is None:
            return second_order_field(self.driving.native, c)
        return second_order_quadratic(affine.K, affine.k, c)

    @abstractmethod
    def friction_at(self, z: Array) -> float:
        """Return c."""

    def rest_norm(self, z: Array, value: Array) -> float:
        """Return the larger one of ||grad F|| and ||v||."""
        v = self.velocity(z)
        force = value[self.dim : 2 * self.dim] + self.friction_at(z) * v
        return self._larger(force, v)

    def discrete_rest_norm(self, z: Array, driven: Array) -> float:
        """Return the larger one of ||grad F|| and ||v||."""
        return self._larger(driven, self.velocity(z))

    @staticmethod
    def _larger(force: Array, v: Array) -> float:
        # NaN must not hide behind a comparison.
        return float(np.maximum(vector_norm(force), vector_norm(v)))

    def _largest_curvature(self) -> float | None:
        affine = self.driving.affine
        return None if affine is None else affine.largest_eigenvalue


def gradient_of(driving: VectorField) -> Objective:
    """Return the objective that drives a field of second order.

    Raises
    ------
    TypeError
        If the field descends none.
    """
    objective = driving.descends
    if objective is None:
        raise TypeError(
            f"a field of second order descends an objective, which {driving.label} does not."
        )
    return objective


class MomentumField(SecondOrderField):
    """Momentum, w' = v, v' = -friction v - grad F(w) (Polyak, USSR Comp. Math. Math. Phys. 4(5), 1964).

    Its algorithm is heavy ball: v_{k+1} = (1 - friction h) v_k - h grad F(w_k), w_{k+1} = w_k + h v_{k+1}.

    Parameters
    ----------
    objective : Objective
    friction : float
        At least 0.

    Examples
    --------
    >>> import numpy as np
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> field = mo.fields.MomentumField(F, friction=2.0)
    >>> w_and_v = field(np.array([1.0, 0.5]))
    >>> float(w_and_v[0]), bool(w_and_v[1] == -2.0 * 0.5 - F.gradient([1.0])[0])
    (0.5, True)
    """

    def __init__(self, objective: Objective, friction: float) -> None:
        super().__init__(objective)
        self.friction = check_real("friction", friction, minimum=0.0)
        self.label = f"momentum on {self.driving.label}"

    def driven_by(self, driving: VectorField) -> MomentumField:
        """Return the momentum of another objective's gradient."""
        return MomentumField(gradient_of(driving), self.friction)

    @property
    def friction_number(self) -> float:
        """The friction."""
        return self.friction

    def friction_at(self, z: Array) -> float:
        """Return the friction."""
        return self.friction

    def enter(self, w: Array, velocity: Array | None, time: float) -> Array:
        """Return w with the velocity of the phase before, 0 if it had none."""
        return self.lift(w) if velocity is None else np.concatenate([w, velocity])

    def __call__(self, z: Array) -> Array:
        """Return (v, -friction v - grad F(w))."""
        z = evaluation_point("z", z, self.state_dim)
        v = self.velocity(z)
        return np.concatenate([v, self.driving(self.observe(z)) - self.friction * v])

    def jacobian(self, z: Array) -> Array:
        """Return [[0, I], [-Hess F, -friction I]], shape (2 d, 2 d)."""
        z = evaluation_point("z", z, self.state_dim)
        d = self.dim
        matrix = np.zeros((2 * d, 2 * d))
        matrix[:d, d:] = np.eye(d)
        matrix[d:, :d] = self.driving.jacobian(self.observe(z))
        matrix[d:, d:] = -self.friction * np.eye(d)
        return matrix

    def jacobian_vector(self, z: Array, v: Array) -> Array:
        """Return the Jacobian times ``v``."""
        z = evaluation_point("z", z, self.state_dim)
        v = evaluation_point("v", v, self.state_dim)
        first, second = v[: self.dim], v[self.dim :]
        along = self.driving.jacobian_vector(self.observe(z), first)
        return np.concatenate([second, along - self.friction * second])

    def look_ahead(self, z: Array, step_size: float) -> Array:
        """Return w_k."""
        return self.observe(z)

    def advance(self, z: Array, step_size: float, driven: Array) -> Array:
        """Return (w_{k+1}, v_{k+1})."""
        v = (1.0 - self.friction * step_size) * self.velocity(z) + step_size * driven
        return np.concatenate([self.observe(z) + step_size * v, v])

    @property
    def step_size_limit(self) -> float | None:
        """4/(c + sqrt(c^2 + 4 lambda_max)) of a quadratic, from h^2 lambda <= 2 (2 - c h)."""
        largest = self._largest_curvature()
        if largest is None:
            return None
        bottom = self.friction + float(np.sqrt(self.friction**2 + 4.0 * max(largest, 0.0)))
        return 4.0 / bottom if bottom > 0 else np.inf


class NesterovField(SecondOrderField):
    """Nesterov's flow w'' + (r/t) w' + grad F = 0 on z = (w, v, t), t the time since the phase began.

    W. Su, S. Boyd and E. J. Candes, JMLR 17(153), 2016. At t = 0 the path is regular: v/t -> -grad F(w)/(1 + r).
    Its algorithm is Nesterov's method with s = h^2, x_k = y_{k-1} - s grad F(y_{k-1}),
    y_k = x_k + (k - 1)/(k + r - 1) (x_k - x_{k-1}), k = t/h, v_k = (x_k - x_{k-1})/h.

    Parameters
    ----------
    objective : Objective
    r : float
        At least 1.

    Examples
    --------
    >>> import numpy as np
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> field = mo.fields.NesterovField(F)
    >>> field.lift([1.0])  # at rest, at time 0
    array([1., 0., 0.])
    >>> velocity = field(np.array([1.0, 0.5, 2.0]))
    >>> bool(velocity[1] == -3.0 / 2.0 * 0.5 - F.gradient([1.0])[0])
    True
    """

    def __init__(self, objective: Objective, r: float = 3.0) -> None:
        super().__init__(objective)
        self.r = check_real("r", r, minimum=1.0)
        self.label = f"Nesterov on {self.driving.label}"

    def driven_by(self, driving: VectorField) -> NesterovField:
        """Return Nesterov's flow of another objective."""
        return NesterovField(gradient_of(driving), self.r)

    @property
    def friction_number(self) -> float:
        """The r of r/t."""
        return self.r

    @property
    def state_dim(self) -> int:
        """2 d + 1."""
        return 2 * self.dim + 1

    @property
    def clock(self) -> int:
        """The last place."""
        return 2 * self.dim

    def friction_at(self, z: Array) -> float:
        """Return r/t; at t = 0, where only v = 0 goes on, 0."""
        t = float(z[-1])
        return self.r / t if t > 0 else 0.0

    def rest_norm(self, z: Array, value: Array) -> float:
        """Return the larger one of ||grad F|| and ||v||."""
        if z[-1] > 0:
            return super().rest_norm(z, value)
        return self._larger((1.0 + self.r) * value[self.dim : -1], self.velocity(z))

    def enter(self, w: Array, velocity: Array | None, time: float) -> Array:
        """Return the state with the velocity and the time of the phase before; with neither if it was at rest."""
        if velocity is None or not velocity.any():
            return self.lift(w)
        return np.concatenate([w, velocity, [time]])

    def __call__(self, z: Array) -> Array:
        """Return (v, -(r/t) v - grad F(w), 1)."""
        z = evaluation_point("z", z, self.state_dim)
        v, force = self.velocity(z), self.driving(self.observe(z))
        pull = force - self.friction_at(z) * v if z[-1] > 0 else force / (1.0 + self.r)
        return np.concatenate([v, pull, [1.0]])

    def jacobian(self, z: Array) -> Array:
        """Return dv/dz, shape (2 d + 1, 2 d + 1); at t = 0 that of the regular path."""
        z = evaluation_point("z", z, self.state_dim)
        d, t, c = self.dim, float(z[-1]), self.friction_at(z)
        matrix = np.zeros((2 * d + 1, 2 * d + 1))
        matrix[:d, d:-1] = np.eye(d)
        matrix[d:-1, :d] = self.driving.jacobian(self.observe(z)) / (1.0 if t > 0 else 1.0 + self.r)
        matrix[d:-1, d:-1] = -c * np.eye(d)
        if t > 0:
            matrix[d:-1, -1] = (c / t) * self.velocity(z)
        return matrix

    def jacobian_vector(self, z: Array, v: Array) -> Array:
        """Return the Jacobian times ``v``."""
        z = evaluation_point("z", z, self.state_dim)
        v = evaluation_point("v", v, self.state_dim)
        d, t, c = self.dim, float(z[-1]), self.friction_at(z)
        along = self.driving.jacobian_vector(self.observe(z), v[:d])
        if t == 0:
            return np.concatenate([v[d:-1], along / (1.0 + self.r), [0.0]])
        second = along - c * v[d:-1] + (c / t) * float(v[-1]) * self.velocity(z)
        return np.concatenate([v[d:-1], second, [0.0]])

    def look_ahead(self, z: Array, step_size: float) -> Array:
        """Return y_k."""
        k = round(float(z[-1]) / step_size)
        share = (k - 1.0) / (k + self.r - 1.0) if k > 0 else 0.0
        return np.asarray(self.observe(z) + (share * step_size) * self.velocity(z))

    def advance(self, z: Array, step_size: float, driven: Array) -> Array:
        """Return (x_{k+1}, v_{k+1}, (k + 1) h)."""
        k = round(float(z[-1]) / step_size)
        x = self.look_ahead(z, step_size) + (step_size * step_size) * driven
        return np.concatenate([x, (x - self.observe(z)) / step_size, [(k + 1) * step_size]])

    @property
    def step_size_limit(self) -> float | None:
        """sqrt(4/(3 lambda_max)) of a quadratic: beyond it the iterates grow once k is large."""
        largest = self._largest_curvature()
        if largest is None:
            return None
        return float(np.sqrt(4.0 / (3.0 * largest))) if largest > 0 else np.inf

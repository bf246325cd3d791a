"""Fields on a larger state z of which w is observed: what they have in common, and a user's own.

The discrete algorithm of such a flow need not be forward Euler on z, so every lifted field carries its own: where
it evaluates the field that drives it, and how it goes on from there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array, as_array, check_callable, real_array
from maml_ode.counts import Counts
from maml_ode.flows.fields import VectorField

__all__ = ["LiftedField", "ObservedField"]

# observe(lift(w)) may miss w by rounding.
SAME = 1e-9


class LiftedField(VectorField):
    """A field z' = v(z) on a larger state than w.

    Attributes
    ----------
    driving : VectorField
        What the discrete algorithm evaluates once a step.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> field = mo.momentum_flow(mo.ExpectedLoss(tasks), friction=1.0).phases[0].field
    >>> isinstance(field, mo.fields.LiftedField), field.dim, field.lift([10.0])
    (True, 1, array([10.,  0.]))
    >>> field.observe(field.lift([10.0]))
    array([10.])
    """

    driving: VectorField

    @property
    def is_lifted(self) -> bool:
        """Always."""
        return True

    @cached_property
    def native(self) -> Any | None:
        """None: unless a field says otherwise, it is called from Python."""
        return None

    @property
    def clock(self) -> int | None:
        """The place in z of the time that has passed, which never comes to rest; None without one."""
        return None

    @abstractmethod
    def rest_norm(self, z: Array, value: Array) -> float:
        """Return the norm that is at most ``tol`` at rest, from the field's ``value`` at ``z``.

        It is finite only where ``value`` is.
        """

    def velocity(self, z: Array) -> Array | None:
        """Return w' where it is a part of the state, else None."""
        return None

    def enter(self, w: Array, velocity: Array | None, time: float) -> Array:
        """Return the state in which a phase begins.

        Parameters
        ----------
        w : ndarray of shape (d,)
        velocity : ndarray of shape (d,) or None
            That of the phase before, where it has one.
        time : float
            What its clock shows, or else how long the run has lasted.
        """
        return self.lift(w)

    def at(self, z: Array) -> Array:
        """Return the point at which ``driving`` says whether ``z`` is at rest."""
        return self.observe(z)

    @abstractmethod
    def look_ahead(self, z: Array, step_size: float) -> Array:
        """Return the point at which the algorithm evaluates ``driving``."""

    @abstractmethod
    def advance(self, z: Array, step_size: float, driven: Array) -> Array:
        """Return the algorithm's next state, ``driven`` being the value of ``driving``."""

    @abstractmethod
    def discrete_rest_norm(self, z: Array, driven: Array) -> float:
        """Return the norm that is at most ``tol`` at rest, from the value of ``driving`` at w."""

    def driven_by(self, driving: VectorField) -> LiftedField:
        """Return the same field with something else for ``driving``.

        Raises
        ------
        ValueError
            If that is not known.
        """
        raise ValueError(
            f"what {self.label} becomes with another inner step size is not known here; build its flow anew for "
            "each of them."
        )

    @property
    def step_size_limit(self) -> float | None:
        """The step size beyond which the algorithm's iterates grow, where that is known."""
        return None


class ObservedField(LiftedField):
    """A user's field on R^m with w = observe(z); its algorithm is forward Euler on z.

    Parameters
    ----------
    field : VectorField
        On R^m, such as ``CallableField(function, dim=m)``.
    observe : callable
        ``observe(z) -> w``, shape (d,).
    lift : callable, optional
        ``lift(w) -> z`` with observe(lift(w)) = w; w padded with zeros by default.

    Raises
    ------
    ValueError
        If what a function returns has the wrong shape, or observe(lift(w)) is not w.
    TypeError
        If one of them is no function, or ``field`` observes its state already.
    """

    def __init__(
        self,
        field: VectorField,
        observe: Callable[[Array], Array],
        lift: Callable[[Array], Array] | None = None,
    ) -> None:
        if field.is_lifted:
            raise TypeError(
                f"the field {field.label} carries its own observe and lift; leave observe= and lift= out."
            )
        self.driving = field
        self._observe = check_callable("observe", observe, "observe(z)")
        self._lift = None if lift is None else check_callable("lift", lift, "lift(w)")
        self.label = field.label
        self.cost, self.jacobian_cost = field.cost, field.jacobian_cost
        self.dim = self._parameters()

    def _parameters(self) -> int:
        """Return d: as many numbers as ``observe`` makes of a state."""
        with np.errstate(all="ignore"):
            w = np.asarray(self._observe(np.zeros(self.driving.dim)))
        if w.ndim != 1 or w.size == 0:
            raise ValueError(
                f"observe(z) must return w of shape (d,), but for z of shape ({self.driving.dim},) it returned "
                f"shape {w.shape}."
            )
        return int(w.size)

    @property
    def state_dim(self) -> int:
        """The dimension of the field."""
        return self.driving.dim

    @property
    def precision(self) -> float:
        """That of the field."""
        return self.driving.precision

    @property
    def smoothness(self) -> int:
        """That of the field."""
        return self.driving.smoothness

    @property
    def has_jacobian(self) -> bool:
        """Whether the field has one."""
        return self.driving.has_jacobian

    @property
    def jvp_cost(self) -> Counts:
        """That of the field."""
        return self.driving.jvp_cost

    def __call__(self, z: Array) -> Array:
        """Return the field at ``z``."""
        return self.driving(z)

    def jacobian(self, z: Array) -> Array:
        """Return the field's Jacobian at ``z``."""
        return self.driving.jacobian(z)

    def jacobian_vector(self, z: Array, v: Array) -> Array:
        """Return the field's Jacobian at ``z`` times ``v``."""
        return self.driving.jacobian_vector(z, v)

    def observe(self, z: Array) -> Array:
        """Return the user's w at ``z``."""
        with np.errstate(all="ignore"):
            given = real_array("the result of observe", self._observe(z.copy()))
        w = np.array(given, dtype=np.float64)
        if w.shape != (self.dim,):
            raise ValueError(
                f"observe(z) must return shape ({self.dim},) as before, but it returned shape {w.shape}."
            )
        return w

    def lift(self, w: Array) -> Array:
        """Return the user's state at ``w``."""
        if self._lift is None:
            if w.size > self.state_dim:
                raise ValueError(
                    f"w has {w.size} entries and the state z only {self.state_dim}, so that w padded with zeros "
                    "is no z; pass lift=, a function from w to z."
                )
            z = np.concatenate([w, np.zeros(self.state_dim - w.size)])
        else:
            z = as_array("the result of lift", self._lift(w.copy()), (self.state_dim,))
        back = self.observe(z)
        miss, size = vector_norm(back - w), vector_norm(w)
        if np.isfinite(size) and not miss <= SAME * size:
            given = (
                "w padded with zeros, as lift is by default" if self._lift is None else "lift(w)"
            )
            raise ValueError(
                f"observe(lift(w)) must be w, but at a w of norm {size:.6g} it is {miss:.3g} away, with {given}; "
                "pass lift= that observe undoes."
            )
        return z

    def driven_by(self, driving: VectorField) -> ObservedField:
        """Return another field on the same state, observed alike."""
        return ObservedField(driving, self._observe, self._lift)

    def rest_norm(self, z: Array, value: Array) -> float:
        """Return the norm of the field."""
        return vector_norm(value)

    def at(self, z: Array) -> Array:
        """Return ``z``."""
        return z

    def look_ahead(self, z: Array, step_size: float) -> Array:
        """Return ``z``."""
        return z

    def advance(self, z: Array, step_size: float, driven: Array) -> Array:
        """Return z + step_size field(z)."""
        return np.asarray(z + step_size * driven)

    def discrete_rest_norm(self, z: Array, driven: Array) -> float:
        """Return the norm of the field."""
        return vector_norm(driven)

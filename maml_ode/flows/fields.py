"""Vector fields: the right-hand sides that phases follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows.closed_forms import handle_of
from maml_ode.objectives import MAMLLoss, Objective, checked_objective
from maml_ode.objectives.affine_field import AffineField
from maml_ode.tasks.base import DOUBLE_PRECISION

__all__ = ["Energy", "GradientField", "VectorField"]


class Energy(Protocol):
    """What falls along a field, as a function of the state."""

    @property
    def precision(self) -> float:
        """The unit in the last place of 1 of the type in which it is computed."""
        ...

    @property
    def value_cost(self) -> Counts:
        """What one value costs."""
        ...

    def value(self, z: Array, /) -> float:
        """Return it at the state ``z``."""
        ...


class VectorField(ABC):
    """A right-hand side w' = v(w), with what an integrator may want to know of it.

    A lifted field acts on a larger state: z' = v(z) with z in R^m, of which w = observe(z) is what is judged. For
    all others z is w.

    Attributes
    ----------
    dim : int
        The number of parameters d.
    label : str
        How tables and legends name it.
    smoothness : int
        How many derivatives of the field are continuous; -1 means that the field itself jumps.
    cost, jacobian_cost : Counts
        What one evaluation costs.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> field = mo.maml_flow(tasks, alpha=0.1).phases[0].field
    >>> isinstance(field, mo.flows.VectorField), field.label, field.dim
    (True, '-grad F', 1)
    >>> field([1.0]).round(6)
    array([-0.66])
    """

    dim: int
    label: str
    cost: Counts
    jacobian_cost: Counts

    @property
    def smoothness(self) -> int:
        """How many derivatives of the field are continuous."""
        return 3

    @property
    def precision(self) -> float:
        """The unit in the last place of 1 of the type in which the field is computed."""
        return DOUBLE_PRECISION

    @property
    def affine(self) -> AffineField | None:
        """K, k when the field is -(K w - k) with symmetric K, else None."""
        return None

    @property
    def is_summed(self) -> bool:
        """Whether it is evaluated over the tasks every time because ``aggregate=False`` asked for that."""
        return False

    @property
    def has_jacobian(self) -> bool:
        """Whether ``jacobian`` can be evaluated."""
        return True

    @property
    def descends(self) -> Objective | None:
        """The objective whose negative gradient the field is, else None. Its Jacobian is then symmetric."""
        return None

    @property
    def energy(self) -> Energy | None:
        """What falls along the field: the objective of a gradient field; None where nothing is known to."""
        return self.descends

    @property
    def is_lifted(self) -> bool:
        """Whether the state is more than w: see ``maml_ode.flows.lifted_fields``."""
        return False

    @property
    def state_dim(self) -> int:
        """The length m of the state z."""
        return self.dim

    def observe(self, z: Array) -> Array:
        """Return w, the part of the state ``z`` that is judged."""
        return z

    def lift(self, w: Array) -> Array:
        """Return the state in which a path from ``w`` begins."""
        return w

    @property
    def jvp_cost(self) -> Counts:
        """What a product of the Jacobian with a vector costs."""
        return self.jacobian_cost

    @cached_property
    def native(self) -> Any | None:
        """The field's handle for compiled steppers, or None where it can only be called from Python.

        See ``maml_ode.compiled.fields``; native and Python evaluation agree to rounding.
        """
        if self.affine is None:
            return self._family_handle()
        from maml_ode.compiled.fields import affine_field

        return affine_field(self.affine.K, self.affine.k)

    @cached_property
    def closed_form(self) -> tuple[Any, bool] | None:
        """The handle of an affine field in its eigenbasis for compiled code, or None if it has none.

        With it, whether the handle knows how to find amplitudes.

        See ``maml_ode.compiled.closed_forms``.
        """
        return None if self.affine is None else handle_of(self.affine)

    @property
    def native_curved(self) -> Any | None:
        """The handle of a gradient field whose Jacobian compiled steppers may ask for as well, else None."""
        return None

    def _family_handle(self) -> Any | None:
        """Return the handle of a field made of compiled families, else None."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in (
            "native",
            "native_curved",
            "closed_form",
            "affine",
        ):  # rebuilt on the other side
            state.pop(name, None)
        return state

    @abstractmethod
    def __call__(self, w: Array) -> Array:
        """Return v(w), shape (d,)."""

    @abstractmethod
    def jacobian(self, w: Array) -> Array:
        """Return dv/dw, shape (d, d)."""

    def jacobian_vector(self, w: Array, v: Array) -> Array:
        """Return dv/dw times ``v``, shape (d,)."""
        return np.asarray(self.jacobian(w) @ v)


class GradientField(VectorField):
    """The gradient flow's field -grad F of an objective.

    Parameters
    ----------
    objective : Objective

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> field = mo.fields.GradientField(F)
    >>> bool(field([1.0]) == -F.gradient([1.0]))
    True
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = checked_objective(objective)
        self.dim = objective.dim
        self.label = "-grad F" if isinstance(objective, MAMLLoss) else "-grad f"
        self.cost = objective.gradient_cost
        self.jacobian_cost = objective.hessian_cost

    @property
    def precision(self) -> float:
        """That of the losses."""
        return self.objective.precision

    @property
    def smoothness(self) -> int:
        """One derivative fewer than the objective."""
        return self.objective.smoothness - 1

    @property
    def has_jacobian(self) -> bool:
        """Whether the objective has a Hessian."""
        return self.objective.has_hessian

    @property
    def is_summed(self) -> bool:
        """Whether the objective is."""
        return not self.objective.aggregate

    @property
    def descends(self) -> Objective:
        """The objective."""
        return self.objective

    @property
    def jvp_cost(self) -> Counts:
        """One Hessian-vector product of the objective."""
        return self.objective.hvp_cost

    @cached_property
    def affine(self) -> AffineField | None:
        """G, c of a quadratic objective."""
        form = self.objective.quadratic_form
        return None if form is None else form.field

    @cached_property
    def native_curved(self) -> Any | None:
        """The handle for compiled steppers, with the kernels of third order in place."""
        if self.affine is not None:
            return self.native
        return self.objective.curved_handle() if self.has_jacobian else None

    def _family_handle(self) -> Any | None:
        return self.objective.native_handle()

    def __call__(self, w: Array) -> Array:
        """Return -grad F(w)."""
        return -self.objective.gradient(w)

    def jacobian(self, w: Array) -> Array:
        """Return -Hess F(w)."""
        return -self.objective.hessian(w)

    def jacobian_vector(self, w: Array, v: Array) -> Array:
        """Return -Hess F(w) v."""
        return -self.objective.hvp(w, v)

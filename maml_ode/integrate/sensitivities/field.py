"""The state and its derivatives as one system, so that step control sees both."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.fields import FirstOrderField, GradientField, ReptileField
from maml_ode.flows.fields import VectorField
from maml_ode.flows.variants import takes_inner_steps
from maml_ode.integrate.sensitivities.inner_steps import InnerDerivatives
from maml_ode.integrate.sensitivities.parameters import Block

__all__ = ["AugmentedField"]


class AugmentedField(VectorField):
    """z' = (X(w), S' = (dX/dw) S + dX/dp), z = (w, S) with the columns of S one after the other.

    Hessian-vector products are all that is asked of the families.
    """

    def __init__(self, field: VectorField, blocks: list[Block]) -> None:
        self.field, self.blocks = field, blocks
        self.columns = sum(block.size for block in blocks)
        self.dim = field.dim * (1 + self.columns)
        self.label = field.label
        self.jacobian_cost = Counts()
        names = {block.name for block in blocks}
        self._alpha = "alpha" in names and takes_inner_steps(field)
        self._inner = _inner_derivatives(field)
        self._weights = "weights" in names and self._inner is not None
        self.cost = field.cost + self._cost_of_columns()

    @property
    def smoothness(self) -> int:
        """One derivative fewer than the field."""
        return self.field.smoothness - 1

    @property
    def precision(self) -> float:
        """That of the field."""
        return self.field.precision

    @property
    def has_jacobian(self) -> bool:
        """Never: it would need third derivatives of the field; implicit methods take differences."""
        return False

    def jacobian(self, w: Array) -> Array:
        """Raise: see `has_jacobian`."""
        raise TypeError("a path and its sensitivities have no analytic Jacobian.")

    @cached_property
    def native(self) -> Any | None:
        """The handle for compiled steppers, None where only Python can evaluate the field or its derivatives."""
        from maml_ode.integrate.sensitivities.native import augmented_handle

        columns = {block.name: block.start for block in self.blocks}
        return augmented_handle(
            self.field,
            columns["alpha"] if self._alpha else None,
            columns["weights"] if self._weights else None,
        )

    def __call__(self, w: Array) -> Array:
        """Return (X, S')."""
        out = np.empty(self.dim)
        if self.native is not None:
            from maml_ode.compiled.fields import evaluate

            evaluate(self.native, np.ascontiguousarray(w), out)
            return out
        state, columns = self.split(w)
        out[: state.size] = self.field(state)
        out[state.size :] = self._slopes(state, columns).ravel()
        return out

    def split(self, z: Array) -> tuple[Array, Array]:
        """Return w, and the columns of S as the rows of an array of shape (P, d)."""
        d = self.field.dim
        return np.ascontiguousarray(z[:d]), z[d:].reshape(self.columns, d)

    def products(self, w: Array, rows: Array) -> Array:
        """Return dX/dw times every row, shape (P, d)."""
        field = self.field
        if field.affine is not None:
            return -(rows @ field.affine.K)
        if isinstance(field, (FirstOrderField, ReptileField)) and self._inner is not None:
            return -self._inner.at(w).products(np.ascontiguousarray(rows))
        return np.array([field.jacobian_vector(w, np.array(row)) for row in rows])

    def _slopes(self, w: Array, rows: Array) -> Array:
        slopes = np.empty_like(rows)
        point = None
        together = self._moves_inner_steps
        if self._inner is not None and (self._alpha or self._weights or together):
            point = self._inner.at(w)
        slopes[:] = -point.products(rows) if together and point else self.products(w, rows)
        for block in self.blocks:
            if point is not None and block.name == "alpha" and self._alpha:
                slopes[block.columns] -= point.by_alpha()
            if point is not None and block.name == "weights" and self._weights:
                slopes[block.columns] -= point.by_weights()
        return slopes

    @property
    def _moves_inner_steps(self) -> bool:
        """Whether products with the Jacobian go through the inner steps here."""
        first_order = isinstance(self.field, (FirstOrderField, ReptileField))
        return first_order and self.field.affine is None

    def _cost_of_columns(self) -> Counts:
        cost = Counts()
        together = self._moves_inner_steps
        if self._inner is not None and (self._alpha or self._weights or together):
            cost += self._inner.cost(self._alpha, self._weights, self.columns if together else 0)
        if not together and self.field.affine is None:
            cost += self.field.jvp_cost * self.columns
        return cost


def _inner_derivatives(field: VectorField) -> InnerDerivatives | None:
    if isinstance(field, GradientField):
        return InnerDerivatives(field.objective._inner, "maml")
    if isinstance(field, FirstOrderField):
        return InnerDerivatives(field._inner, "fomaml")
    if isinstance(field, ReptileField):
        return InnerDerivatives(field._inner, "reptile")
    return None

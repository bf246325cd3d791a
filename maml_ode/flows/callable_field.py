"""A user's own right-hand side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maml_ode._validation import (
    Array,
    check_callable,
    check_count,
    check_text,
    evaluation_point,
    real_array,
)
from maml_ode.counts import Counts
from maml_ode.flows.fields import VectorField
from maml_ode.tasks.adapters.results import Precision

__all__ = ["CallableField"]


class CallableField(VectorField):
    """A user's own right-hand side ``function(w) -> (d,)`` with an optional Jacobian ``(d, d)``.

    Both functions receive a copy of w, and what they return is copied; NaN and infinity are passed on.

    Parameters
    ----------
    function : callable
    dim : int
        d.
    jacobian : callable, optional
    label : str

    Raises
    ------
    TypeError, ValueError
        For arguments that are none of these; at an evaluation, for a result that does not hold real
        numbers or has the wrong shape.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> field = mo.fields.CallableField(lambda w: -w, dim=1, label="decay")
    >>> flow = mo.Flow([mo.Phase(field)], objective=mo.ExpectedLoss(tasks))
    >>> round(float(mo.solve(flow, [1.0], t_max=1.0, rtol=1e-9, atol=1e-12).w[0]), 8)
    0.36787944
    """

    def __init__(
        self,
        function: Callable[[Array], Array],
        dim: int,
        jacobian: Callable[[Array], Array] | None = None,
        label: str = "field",
    ) -> None:
        self.function = check_callable("function", function, "function(w)")
        self.dim = check_count("dim", dim)
        self.label = check_text("label", label)
        self._jacobian = (
            None if jacobian is None else check_callable("jacobian", jacobian, "jacobian(w)")
        )
        self.cost = Counts()
        self.jacobian_cost = Counts()
        self._precision = Precision()

    @property
    def precision(self) -> float:
        """Return eps of the type that the function returned, once it has been called."""
        return self._precision.eps

    @property
    def has_jacobian(self) -> bool:
        """Whether a Jacobian was given."""
        return self._jacobian is not None

    def __call__(self, w: Array) -> Array:
        """Return the user's field at ``w``."""
        given = self.function(evaluation_point("w", w, self.dim).copy())
        numbers = real_array("the result of the field's function", given)
        self._precision.see("the field's function", numbers)
        value = np.array(numbers, dtype=np.float64)
        if value.shape != (self.dim,):
            raise ValueError(
                f"the field must return shape ({self.dim},), but it returned shape {value.shape}."
            )
        return value

    def jacobian(self, w: Array) -> Array:
        """Return the user's Jacobian at ``w``."""
        if self._jacobian is None:
            raise TypeError("this field was given no Jacobian; pass jacobian= to CallableField.")
        given = self._jacobian(evaluation_point("w", w, self.dim).copy())
        value = np.array(real_array("the result of jacobian", given), dtype=np.float64)
        if value.shape != (self.dim, self.dim):
            raise ValueError(
                f"the Jacobian must have shape ({self.dim}, {self.dim}), but it has {value.shape}."
            )
        return value

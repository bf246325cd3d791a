"""The modified field -(g + step_size/2 Hess F g), g = grad F, as a composed field."""

from __future__ import annotations

from typing import Any

import numpy as np

from maml_ode.compiled import hvp, maml
from maml_ode.compiled.decorators import kernel_on_demand
from maml_ode.compiled.fields import COMPOSITION, composed_field
from maml_ode.compiled.scratch import matrix_in, stack


@kernel_on_demand(COMPOSITION)
def _modified(problem, query, w, alpha, inner_steps, numbers, out):
    """Fill out = -(g + numbers[0] Hess F g)."""
    product = matrix_in(stack(), 1, w.size)[0]
    maml.gradient(problem, query, w, alpha, inner_steps, out)
    hvp.hvp(problem, query, w, out, alpha, inner_steps, product)
    for k in range(w.size):
        out[k] = -(out[k] + numbers[0] * product[k])


def modified_field(gradient: Any, step_size: float) -> Any:
    """Return the handle of the field.

    Parameters
    ----------
    gradient : Field
        The handle of -grad F, with the kernels of third order in place.
    step_size : float
    """
    return composed_field(gradient, _modified, np.array([0.5 * step_size]))

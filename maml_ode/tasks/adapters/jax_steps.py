"""`FusedSteps` of JAX families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.tasks.adapters.jax_programs import FusedPrograms, double_precision

if TYPE_CHECKING:
    from maml_ode.tasks.adapters.jax import JaxFamily

__all__ = ["JaxSteps"]


@dataclass(frozen=True, eq=False)
class JaxSteps:
    """`FusedSteps` of two JAX families."""

    tasks: JaxFamily
    query: JaxFamily
    programs: FusedPrograms

    def adapt(self, w: Array, alpha: Any) -> Array:
        """Return the points u_i, shape (M, d)."""
        return self._run(self.programs.adapt, w, alpha, data=(self.tasks._device_data,))

    def value(self, w: Array, alpha: Any) -> float:
        """Return F(w)."""
        return float(self._run(self.programs.value, w, alpha, self.tasks.weights))

    def gradient(self, w: Array, alpha: Any) -> Array:
        """Return grad F(w), shape (d,)."""
        return self._run(self.programs.gradient, w, alpha, self.tasks.weights)

    def hvp(self, w: Array, v: Array, alpha: Any) -> Array:
        """Return Hess F(w) v, shape (d,)."""
        return self._run(self.programs.hvp, w, v, alpha, self.tasks.weights)

    def _run(self, program: Callable[..., Any], *arrays: Any, data: tuple[Any, ...] = ()) -> Array:
        given = data or (self.tasks._device_data, self.query._device_data)
        with double_precision():
            return np.array(program(*map(np.asarray, arrays), *given))

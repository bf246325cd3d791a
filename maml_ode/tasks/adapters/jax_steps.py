"""`FusedSteps` of JAX families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpy.typing as npt

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
    chosen: npt.NDArray[np.int64] | None = None

    def adapt(self, w: Array, alpha: Any) -> Array:
        """Return the points u_i, shape (M, d)."""
        return self._run(self.programs.adapt, w, alpha, data=(self.tasks._device_data,))

    def value(self, w: Array, alpha: Any) -> float:
        """Return F(w)."""
        return float(self._run(self.programs.value, w, alpha, self._weights))

    def gradient(self, w: Array, alpha: Any) -> Array:
        """Return grad F(w), shape (d,)."""
        return self._run(self.programs.gradient, w, alpha, self._weights)

    def hvp(self, w: Array, v: Array, alpha: Any) -> Array:
        """Return Hess F(w) v, shape (d,)."""
        return self._run(self.programs.hvp, w, v, alpha, self._weights)

    def over(self, chosen: npt.NDArray[np.int64]) -> JaxSteps:
        """Return the steps for the plain mean over some tasks, which may repeat."""
        return replace(self, chosen=chosen)

    @property
    def _weights(self) -> Array:
        if self.chosen is None:
            return self.tasks.weights
        return np.full(self.chosen.size, 1.0 / self.chosen.size)

    def _run(self, program: Callable[..., Any], *arrays: Any, data: tuple[Any, ...] = ()) -> Array:
        given = data or (self.tasks._device_data, self.query._device_data)
        with double_precision():
            if self.chosen is not None:
                given = jax.tree.map(lambda x: x[self.chosen], given)
            return np.array(program(*map(np.asarray, arrays), *given))

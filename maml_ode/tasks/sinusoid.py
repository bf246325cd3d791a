"""One-dimensional task losses: a parabola less a sinusoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, freeze
from maml_ode.tasks.compiled_family import CompiledFamily

if TYPE_CHECKING:
    from maml_ode.compiled.contract import Kernels
    from maml_ode.compiled.loops import Loops

__all__ = ["Sinusoid"]


class Sinusoid(CompiledFamily):
    """Losses f_i(w) = a_i w^2 - b_i sin(omega_i w) of one parameter, d = 1.

    f_i' = 2 a_i w - b_i omega_i cos(omega_i w), f_i'' = 2 a_i + b_i omega_i^2 sin(omega_i w),
    f_i''' = b_i omega_i^3 cos(omega_i w). Figure 1 of Xu, Chen and Karbasi (AISTATS 2021) has
    a = (0.505, 0.505), b = (1, 1e-4), omega = (1, 100).

    Parameters
    ----------
    a, b, omega : array_like of shape (M,)
        Curvature, amplitude and angular frequency of each task.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.

    Attributes
    ----------
    a, b, omega : ndarray of shape (M,)
        Read-only.

    Raises
    ------
    ValueError
        For shapes that differ, no tasks, non-finite entries, or weights that are negative or do not
        sum to 1.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    >>> tasks.gradients([0.0])
    array([[-1.  ],
           [-0.01]])
    """

    def __init__(
        self,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        omega: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        curvatures = as_array("a", a, (None,))
        n_tasks = curvatures.size
        if n_tasks == 0:
            raise ValueError("a must have shape (M,) with M >= 1, but it has shape (0,).")
        super().__init__(n_tasks, 1, weights)
        self._floats = np.concatenate(
            [curvatures, as_array("b", b, (n_tasks,)), as_array("omega", omega, (n_tasks,))]
        )

    @property
    def a(self) -> Array:
        """The curvatures a_i."""
        return freeze(self._floats[: self.n_tasks])

    @property
    def b(self) -> Array:
        """The amplitudes b_i."""
        return freeze(self._floats[self.n_tasks : 2 * self.n_tasks])

    @property
    def omega(self) -> Array:
        """The angular frequencies omega_i."""
        return freeze(self._floats[2 * self.n_tasks :])

    @property
    def loops(self) -> Loops:
        """Loops over tasks and inner steps in which nothing is called but sine and cosine."""
        from maml_ode.tasks.kernels import sinusoid_loops

        return sinusoid_loops.LOOPS

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> Sinusoid:
        return Sinusoid(self.a[chosen], self.b[chosen], self.omega[chosen], weights)

    def _kernels(self) -> Kernels:
        from maml_ode.tasks.kernels import sinusoid

        return sinusoid.KERNELS

    def _packed(self) -> tuple[Array, npt.NDArray[np.int64]]:
        return self._floats, np.array([self.n_tasks], dtype=np.int64)

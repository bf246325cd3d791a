"""Quadratic task losses."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, freeze
from maml_ode.tasks.base import QuadraticTerms
from maml_ode.tasks.compiled_family import CompiledFamily

if TYPE_CHECKING:
    from maml_ode.compiled.contract import Kernels

__all__ = ["Quadratic"]


class Quadratic(CompiledFamily):
    """Quadratic losses f_i(w) = w'H_i w/2 - b_i'w + c_i.

    Gradient H_i w - b_i, Hessian H_i, third derivative 0. The MAML loss of such a family is itself
    quadratic, so its flow has a closed form (``method="exact"``).

    Parameters
    ----------
    H : array_like of shape (M, d, d)
        Symmetric matrices; a matrix that is not symmetric to 1e-12 relative is refused.
    b : array_like of shape (M, d)
    c : array_like of shape (M,), optional
        Constants; 0 by default.
    weights : array_like of shape (M,), optional
        p_i; uniform by default.

    Raises
    ------
    ValueError
        For wrong shapes, non-finite entries, a non-symmetric H_i, or weights that are negative or
        do not sum to 1.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[2.0]], [[4.0]]], [[2.0], [-4.0]])
    >>> tasks.gradients([1.0])
    array([[0.],
           [8.]])
    """

    def __init__(
        self,
        H: npt.ArrayLike,
        b: npt.ArrayLike,
        c: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        matrices = as_array("H", H)
        if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or 0 in matrices.shape:
            raise ValueError(
                f"H must have shape (M, d, d) with M, d >= 1, but it has shape {matrices.shape}."
            )
        n_tasks, dim = matrices.shape[:2]
        super().__init__(n_tasks, dim, weights)
        for i, matrix in enumerate(matrices):
            half_gap = float(np.abs(0.5 * matrix - 0.5 * matrix.T).max())
            if half_gap > 0.5e-12 * float(np.abs(matrix).max()):
                raise ValueError(
                    f"H[{i}] must be symmetric, but H[{i}] - H[{i}].T has an entry of {2 * half_gap:.3g}; "
                    f"pass (A + A.T)/2 for A = np.asarray(H[{i}]) if only the quadratic form matters."
                )
        self.H = freeze(np.ascontiguousarray(0.5 * matrices + 0.5 * matrices.transpose(0, 2, 1)))
        self.b = freeze(as_array("b", b, (n_tasks, dim)))
        constants = np.zeros(n_tasks) if c is None else as_array("c", c, (n_tasks,))
        self.c = freeze(constants)

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> Quadratic:
        return Quadratic(self.H[chosen], self.b[chosen], self.c[chosen], weights)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for array in (self.H, self.b, self.c):
            freeze(array)

    @cached_property
    def quadratic(self) -> QuadraticTerms:
        """The terms H, b, c."""
        return QuadraticTerms(self.H, self.b, self.c)

    def _kernels(self) -> Kernels:
        from maml_ode.tasks.kernels import quadratic

        return quadratic.KERNELS

    def _packed(self) -> tuple[Array, npt.NDArray[np.int64]]:
        floats = np.concatenate([self.H.ravel(), self.b.ravel(), self.c])
        return floats, np.array([self.n_tasks, self.dim], dtype=np.int64)

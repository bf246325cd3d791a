"""Linear regression task losses."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import freeze
from maml_ode.sizes import MATRIX_OF_THE_DATA
from maml_ode.tasks.base import QuadraticTerms
from maml_ode.tasks.least_squares import LeastSquares
from maml_ode.tasks.linear_model import LinearModel
from maml_ode.tasks.margin_losses import MarginLoss

__all__ = ["LinearRegression"]

# Above this dimension the d x d matrices 2 s_i X_i'X_i are not worth forming.
# Sparse samples are factored as dense ones: up to this many multiplications.
SPARSE_WORK_LIMIT = 1e11
EPS = float(np.finfo(float).eps)


class LinearRegression(LinearModel):
    """Least-squares losses f_i(w) = s_i sum_j (y_ij - x_ij'w)^2.

    The factor s_i is part of the loss and therefore of the meaning of the inner step size alpha:
    "mean" and "sum" differ by n_i in every curvature. Xu, Chen and Karbasi (AISTATS 2021), section
    4, print the sum.

    Parameters
    ----------
    X : array_like of shape (M, n, d), or sequence of M array_like of shape (n_i, d)
        Samples x_ij, one row each. No intercept is added. Or a sequence of M ``scipy.sparse``
        matrices or arrays of shape (n_i, d), which stay sparse. True and False count as 1 and 0;
        masked entries are refused.
    y : array_like of shape (M, n), or sequence of M array_like of shape (n_i,)
        Targets.
    reduction : {"mean", "half_mean", "sum"}, default "mean"
        s_i = 1/n_i, 1/(2 n_i) or 1.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.

    Attributes
    ----------
    X, y : tuple of ndarray
        The data, one read-only view per task; X is a tuple of ``csr_array`` if it is sparse.
    is_sparse : bool
    n_samples : tuple of int
        The sizes n_i.
    scales : ndarray of shape (M,)
        The factors s_i.
    reduction : str

    Raises
    ------
    ValueError
        For shapes that do not match (both are named), empty tasks, non-finite entries, an unknown
        reduction, or weights that are negative or do not sum to 1.
    TypeError
        For non-numeric data, or a mixture of dense and sparse X_i.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.LinearRegression([[[1.0], [2.0]], [[3.0]]], [[1.0, 0.0], [3.0]])
    >>> tasks.losses([1.0])
    array([2., 0.])
    """

    _classifies = False

    def __init__(
        self,
        X: Any,
        y: Any,
        reduction: str = "mean",
        weights: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(X, y, MarginLoss.SQUARED, reduction=reduction, weights=weights)

    @cached_property
    def quadratic(self) -> QuadraticTerms | None:
        """The terms H_i = 2 s_i X_i'X_i, b_i = 2 s_i X_i'y_i, c_i = s_i y_i'y_i.

        None above `maml_ode.sizes.MATRIX_OF_THE_DATA` dimensions.
        """
        if self.dim > MATRIX_OF_THE_DATA:
            return None
        H = np.empty((self.n_tasks, self.dim, self.dim))
        b = np.empty((self.n_tasks, self.dim))
        c = np.empty(self.n_tasks)
        with np.errstate(over="ignore", invalid="ignore"):
            for i, (X, y, scale) in enumerate(zip(self.X, self.y, self.scales, strict=True)):
                gram = X.T @ X
                H[i] = 2.0 * scale * (gram.toarray() if self.is_sparse else gram)
                b[i] = 2.0 * scale * (X.T @ y)
                c[i] = scale * (y @ y)
            # A sum of n products: at most n eps/2 of what it would be without signs, whose norm is at most
            # trace(H_i) for H_i and sqrt(trace(H_i)) times the targets' norm for b_i; then the factor 2 s_i.
            rounding = 0.5 * EPS * (np.array(self.n_samples) + 2.0)
            trace = np.trace(H, axis1=1, axis2=2)
            b_size = np.sqrt(trace) * np.sqrt(2.0 * c)
            H_error, b_error = rounding * trace, rounding * b_size
        return QuadraticTerms(freeze(H), freeze(b), freeze(c), freeze(H_error), freeze(b_error))

    @cached_property
    def _least_squares(self) -> LeastSquares | None:
        """The data themselves, where they are small enough to be factored."""
        work = sum(self.n_samples) * float(self.dim) ** 2
        if self.dim > MATRIX_OF_THE_DATA or (self.is_sparse and work > SPARSE_WORK_LIMIT):
            return None
        return LeastSquares(self.X, self.y, self.scales)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in (
            "quadratic",
            "_least_squares",
        ):  # follow from the data, which may be much smaller
            state.pop(name, None)
        return state

"""Logistic regression task losses."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from maml_ode.tasks.linear_model import LinearModel
from maml_ode.tasks.margin_losses import MarginLoss

__all__ = ["LogisticRegression"]


class LogisticRegression(LinearModel):
    """Logistic losses f_i(w) = s_i sum_j log(1 + exp(-y_ij x_ij'w)) + (l2/2) ||w||^2.

    Losses and derivatives are evaluated without overflow or cancellation at margins of any size.
    With l2 = 0 no f_i is strongly convex, and on separable data f_i has no minimiser.

    Parameters
    ----------
    X : array_like of shape (M, n, d), or sequence of M array_like of shape (n_i, d)
        Samples x_ij, one row each. No intercept is added. Or a sequence of M ``scipy.sparse``
        matrices or arrays of shape (n_i, d), which stay sparse. True and False count as 1 and 0;
        masked entries are refused.
    y : array_like of shape (M, n), or sequence of M array_like of shape (n_i,)
        Labels -1 and +1.
    l2 : float, default 0.0
        Ridge coefficient, at least 0. It is not scaled by ``reduction``.
    reduction : {"mean", "half_mean", "sum"}, default "mean"
        s_i = 1/n_i, 1/(2 n_i) or 1.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.
    intercept : bool, default False
        Whether the last column of X is an intercept, all ones: the ridge term then leaves out its coefficient.
        No column is added.

    Attributes
    ----------
    X, y : tuple of ndarray
        The data, one read-only view per task; X is a tuple of ``csr_array`` if it is sparse.
    is_sparse : bool
    n_samples : tuple of int
        The sizes n_i.
    scales : ndarray of shape (M,)
        The factors s_i.
    l2 : float
    ridge : ndarray of shape (d,)
        l2 for every coordinate, 0 for an intercept.
    intercept : bool
    reduction : str

    Raises
    ------
    ValueError
        For labels other than -1 and +1, shapes that do not match (both are named), empty tasks,
        non-finite entries, a negative l2, an unknown reduction, or weights that are negative or do
        not sum to 1.
    TypeError
        For non-numeric data, or a mixture of dense and sparse X_i.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.LogisticRegression([[[1.0], [2.0]]], [[1, -1]], l2=0.1)
    >>> tasks.gradients([0.0])
    array([[0.25]])
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        l2: float = 0.0,
        reduction: str = "mean",
        weights: npt.ArrayLike | None = None,
        *,
        intercept: bool = False,
    ) -> None:
        super().__init__(
            X,
            y,
            MarginLoss.LOGISTIC,
            reduction=reduction,
            l2=l2,
            intercept=intercept,
            weights=weights,
        )

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "l2": self._l2, "intercept": self.intercept}

    @property
    def l2(self) -> float:
        """The ridge coefficient."""
        return self._l2

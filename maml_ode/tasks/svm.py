"""Support vector machine task losses: the hinge, its square, and their smooth companions."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from maml_ode._validation import check_choice
from maml_ode.tasks.linear_model import LinearModel
from maml_ode.tasks.margin_losses import MarginLoss

__all__ = ["SVM"]

_LOSSES = {
    "hinge": MarginLoss.HINGE,
    "squared_hinge": MarginLoss.SQUARED_HINGE,
    "smooth_hinge": MarginLoss.SMOOTH_HINGE,
    "smooth_squared_hinge": MarginLoss.SMOOTH_SQUARED_HINGE,
}


class SVM(LinearModel):
    """Hinge losses f_i(w) = s_i sum_j phi(m_ij) + (l2/2) ||w||^2 with m_ij = 1 - y_ij x_ij'w.

    ====================== ========================== ==========================================
    ``loss``               phi(m)                     smoothness of f_i
    ====================== ========================== ==========================================
    "hinge"                max(0, m)                  continuous; the gradient jumps at m = 0
    "squared_hinge"        max(0, m)^2                gradient continuous; the Hessian jumps
    "smooth_hinge"         h(m) = s log(1+exp(m/s))   smooth
    "smooth_squared_hinge" h(m)^2                     smooth
    ====================== ========================== ==========================================

    Here s is ``smoothing``; h exceeds max(0, m) by at most s log 2, so the smooth losses tend to
    the others as s -> 0, while their third derivatives grow like 1/s^2 and 1/s.

    At a kink, m_ij = 0 exactly, a sample counts as classified with full margin: max(0, m) has
    derivative 0 there and max(0, m)^2 has second derivative 0. Away from the kinks the derivatives
    are the classical ones, so those of order two and three of the plain hinge, and the third of the
    squared hinge, are those of the ridge term alone (l2 I, and 0); what happens at the kinks is not
    in them. The MAML loss takes one derivative more than f_i: with "hinge" it is itself
    discontinuous, with "squared_hinge" its gradient is. For work with differential equations take
    "smooth_squared_hinge".

    Parameters
    ----------
    X : array_like of shape (M, n, d), or sequence of M array_like of shape (n_i, d)
        Samples x_ij, one row each. No intercept is added. Or a sequence of M ``scipy.sparse``
        matrices or arrays of shape (n_i, d), which stay sparse. True and False count as 1 and 0;
        masked entries are refused.
    y : array_like of shape (M, n), or sequence of M array_like of shape (n_i,)
        Labels -1 and +1.
    loss : {"squared_hinge", "hinge", "smooth_hinge", "smooth_squared_hinge"}, default
    "squared_hinge" smoothing : float, default 0.1
        s > 0, in units of the margin; only the two smooth losses depend on it.
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
    loss : str
    smoothing : float
    l2 : float
    ridge : ndarray of shape (d,)
        l2 for every coordinate, 0 for an intercept.
    intercept : bool
    reduction : str

    Raises
    ------
    ValueError
        For labels other than -1 and +1, shapes that do not match (both are named), empty tasks,
        non-finite entries, smoothing <= 0, l2 < 0, an unknown loss or reduction, or weights that
        are negative or do not sum to 1.
    TypeError
        For non-numeric data, or a mixture of dense and sparse X_i.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.SVM([[[1.0], [2.0]]], [[1, -1]])
    >>> tasks.losses([0.5])
    array([2.125])
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        loss: str = "squared_hinge",
        smoothing: float = 0.1,
        l2: float = 0.0,
        reduction: str = "mean",
        weights: npt.ArrayLike | None = None,
        *,
        intercept: bool = False,
    ) -> None:
        self._loss = check_choice("loss", loss, _LOSSES)
        super().__init__(
            X,
            y,
            _LOSSES[self._loss],
            reduction=reduction,
            l2=l2,
            intercept=intercept,
            smoothing=smoothing,
            weights=weights,
        )

    def _options(self) -> dict[str, Any]:
        ridge = {"l2": self._l2, "intercept": self.intercept}
        return {**super()._options(), **ridge, "loss": self._loss, "smoothing": self._smoothing}

    @property
    def loss(self) -> str:
        """The name of phi."""
        return self._loss

    @property
    def smoothing(self) -> float:
        """The smoothing s."""
        return self._smoothing

    @property
    def l2(self) -> float:
        """The ridge coefficient."""
        return self._l2

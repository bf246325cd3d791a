"""What the linear models share: data X, y and a scalar loss of the predictions x'w."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from maml_ode._validation import (
    Array,
    as_array,
    as_labels,
    as_sequence,
    check_choice,
    check_flag,
    check_real,
    freeze,
    real_array,
)
from maml_ode.tasks.base import abbreviated
from maml_ode.tasks.compiled_family import CompiledFamily
from maml_ode.tasks.dense_samples import DenseSamples
from maml_ode.tasks.margin_losses import FREE, MarginLoss
from maml_ode.tasks.sparse_samples import SparseSamples, is_sparse
from maml_ode.tasks.tables.assembling import family_of_table

if TYPE_CHECKING:
    from maml_ode.compiled.batches import BatchedKernels
    from maml_ode.compiled.contract import TapedKernels

__all__ = ["REDUCTIONS", "LinearModel"]

REDUCTIONS = ("mean", "half_mean", "sum")


class LinearModel(CompiledFamily):
    """Losses f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||D w||^2 of the linear predictions x_ij'w.

    D is the identity, or leaves out the last coordinate, where that is an intercept.

    With c_ij = dt_ij/d(x_ij'w), which is -1 in regression and -y_ij in classification, so that
    c_ij^2 = 1,

        grad f_i = s_i sum_j phi'(t_ij) c_ij x_ij + l2 D w,
        Hess f_i = s_i sum_j phi''(t_ij) x_ij x_ij' + l2 D,
        D^3 f_i[v] = s_i sum_j phi'''(t_ij) c_ij (x_ij'v) x_ij x_ij'.

    Gradients, Hessian-vector products and D^3 f_i[v, q] read X once each and cost O(n_i d) time,
    or O(nnz(X_i) + n_i + d) if X is sparse, and O(n_i) scratch memory; only ``hessians`` and
    ``third`` form d x d matrices. The data are held once, in buffers that the kernels read and of
    which ``X`` and ``y`` are read-only views; a dense X_i with n_i > d lies in memory feature by feature,
    long ones on the lines of the cache, so that the kernels' loops run over its longer side. The MAML loss keeps
    up to 3 n_i numbers per inner step of one task at a time. A stored entry of sparse data takes 16 bytes.

    Parameters
    ----------
    X : array_like of shape (M, n, d), or sequence of M array_like of shape (n_i, d)
        Or a sequence of M ``scipy.sparse`` matrices or arrays of any format. In X and y True and False
        count as 1 and 0, as in NumPy and scikit-learn; masked entries are refused.
    y : array_like of shape (M, n), or sequence of M array_like of shape (n_i,)
    loss : MarginLoss
        Which phi.
    reduction : {"mean", "half_mean", "sum"}
        s_i = 1/n_i, 1/(2 n_i) or 1.
    l2 : float
        Coefficient of the ridge term; at least 0.
    intercept : bool
        Whether the last coordinate of w is an intercept, which the ridge term leaves out.
    smoothing : float
        s of the smoothed hinges; positive.
    weights : array_like of shape (M,), optional
        p_i; uniform by default.
    """

    # Whether y holds the labels -1 and +1.
    _classifies = True

    feature_names: tuple[Any, ...] | None = None
    mean: Array | None = None
    scale: Array | None = None

    def __init__(
        self,
        X: Any,
        y: Any,
        loss: MarginLoss,
        *,
        reduction: str,
        l2: float = 0.0,
        intercept: bool = False,
        smoothing: float = 1.0,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        self._reduction = check_choice("reduction", reduction, REDUCTIONS)
        self._l2 = check_real("l2", l2, minimum=0.0)
        self._smoothing = check_real("smoothing", smoothing, minimum=0.0, strict=True)
        intercept = check_flag("intercept", intercept)
        samples = _split_tasks("X", X, "(M, n, d)", "(n_i, d)", 3)
        targets = _split_tasks("y", y, "(M, n)", "(n_i,)", 2)
        sparse = _are_sparse(samples)
        if not sparse:
            samples = [real_array(f"X[{i}]", X_i, booleans=True) for i, X_i in enumerate(samples)]
        targets = [real_array(f"y[{i}]", y_i, booleans=True) for i, y_i in enumerate(targets)]
        sizes, dim = _check_shapes(samples, targets)
        super().__init__(len(sizes), dim, weights, loss.smoothness)

        read = partial(as_array, booleans=True) if loss is MarginLoss.SQUARED else as_labels
        floats = np.empty(sum(sizes) + len(sizes) + 2)
        head = len(sizes), dim, sum(sizes), int(loss) + FREE * int(intercept)
        integers = np.array([*head, *np.cumsum([0, *sizes])])
        self._floats, self._integers = floats, integers
        for i, (start, stop) in enumerate(self._row_ranges):
            floats[start:stop] = read(f"y[{i}]", targets[i], (sizes[i],))
        floats[sum(sizes) :] = *_scales(reduction, sizes), self._l2, self._smoothing
        self._samples: SparseSamples | DenseSamples
        if sparse:
            self._samples = SparseSamples(sizes, floats.size, integers.size)
        else:
            self._samples = DenseSamples(sizes, dim, floats.size, integers.size)
        self._floats, self._integers = self._samples.pack(samples, floats, integers)

    @classmethod
    def from_table(
        cls,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        fit_intercept: bool = False,
        standardize: bool = False,
        weights: npt.ArrayLike = "uniform",
        **family: Any,
    ) -> Self:
        """Return the family of a table: one task for every label in ``groups``.

        Parameters
        ----------
        X : array_like of shape (N, k), data frame, scipy.sparse container or path
            One row per sample. A data frame (pandas, polars, pyarrow) gives names to the features; else they
            are x0, x1, ... A path is that of a file in svmlight format, with labels and qid.
        y : array_like of shape (N,) or name of a column
            Targets, or labels -1 and +1. A column that is named leaves X. Not needed with a file.
        groups : array_like of shape (N,) or name of a column
            To which task a row belongs: numbers, texts, dates, categories. Rows need not be sorted. Not needed
            with a file, whose qid it is.
        fit_intercept : bool
            Append a column of ones, named "intercept": it is neither standardised nor penalised by l2.
        standardize : bool
            Subtract from every column its mean over all N rows, and divide by its standard deviation (with
            1/N); sparse columns become full.
        weights : {"uniform", "samples"} or array_like of shape (M,)
            p_i = 1/M, n_i/N, or as given, in the order of ``names``.
        **family
            The other arguments of the class: reduction, l2, loss, smoothing.

        Returns
        -------
        LinearRegression, LogisticRegression or SVM
            With ``names``, the M labels in the order of ``numpy.unique``, ``feature_names`` (d), and, where
            standardised, ``mean`` and ``scale`` (k).

        Raises
        ------
        ValueError
            For a missing label, a category or a column without a value, constant columns that should be
            standardised, groups with one class, unknown columns; all by name.
        TypeError
            For columns that do not hold numbers, labels of mixed kinds, unknown arguments.

        Examples
        --------
        >>> import maml_ode as mo
        >>> X, y, who = [[1.0], [2.0], [3.0], [5.0]], [1.0, 2.0, 3.0, 4.0], ["b", "a", "b", "a"]
        >>> mo.tasks.LinearRegression.from_table(X, y, who, fit_intercept=True)
        LinearRegression(n_tasks=2, dim=2, names=('a', 'b'), feature_names=('x0', 'intercept'))
        """
        return family_of_table(
            cls,
            X,
            y,
            groups,
            classes=cls._classifies,
            fit_intercept=fit_intercept,
            standardize=standardize,
            weights=weights,
            options=family,
        )

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> LinearModel:
        X, y, rows = self.X, self.y, chosen.tolist()
        build: Callable[..., LinearModel] = type(self)
        family = build(
            [X[i] for i in rows], [y[i] for i in rows], weights=weights, **self._options()
        )
        family.feature_names, family.mean, family.scale = self.feature_names, self.mean, self.scale
        return family

    def _options(self) -> dict[str, Any]:
        """Return the constructor's arguments beside the data and the weights."""
        return {"reduction": self._reduction}

    def __repr__(self) -> str:
        plain = super().__repr__()
        if self.feature_names is None:
            return plain
        return f"{plain.removesuffix(')')}, feature_names={abbreviated(self.feature_names)})"

    @property
    def X(self) -> tuple[Any, ...]:
        """The samples X_i, shape (n_i, d), one read-only view per task; ``csr_array`` if sparse."""
        return self._samples.views(self._floats, self._integers, self.dim)

    @property
    def is_sparse(self) -> bool:
        """Whether X is held in sparse form."""
        return isinstance(self._samples, SparseSamples)

    @property
    def y(self) -> tuple[Array, ...]:
        """The targets or labels y_i, shape (n_i,), one read-only view per task."""
        return tuple(freeze(self._floats[start:stop]) for start, stop in self._row_ranges)

    @property
    def n_samples(self) -> tuple[int, ...]:
        """The sizes n_i."""
        return tuple(stop - start for start, stop in self._row_ranges)

    @property
    def reduction(self) -> str:
        """The name of the rule for s_i: "mean", "half_mean" or "sum"."""
        return self._reduction

    @property
    def scales(self) -> Array:
        """The factors s_i, shape (M,), read-only."""
        return freeze(self._floats[self._n_rows : self._n_rows + self.n_tasks])

    @property
    def ridge(self) -> Array:
        """The coefficients of the ridge term sum_k ridge_k w_k^2/2, shape (d,): l2, but 0 for an intercept."""
        coefficients = np.full(self.dim, self._l2)
        if self.intercept:
            coefficients[-1] = 0.0
        return coefficients

    @property
    def intercept(self) -> bool:
        """Whether the last coordinate of w is an intercept, which the ridge term leaves out."""
        return bool(self._integers[3] >= FREE)

    @property
    def _kind(self) -> int:
        return int(self._integers[3]) % FREE

    @property
    def _n_rows(self) -> int:
        return int(self._integers[2])

    @property
    def _row_ranges(self) -> list[tuple[int, int]]:
        starts = self._integers[4 : 5 + self.n_tasks].tolist()
        return list(pairwise(starts))

    def _kernels(self) -> TapedKernels:
        from maml_ode.tasks.kernels import linear_model

        return linear_model.kernels(self._kind, self.is_sparse)

    @property
    def batched_kernels(self) -> BatchedKernels | None:
        """Kernels that evaluate many points at once; for dense samples."""
        if self.is_sparse:
            return None
        from maml_ode.tasks.kernels import linear_model_batches

        return linear_model_batches.kernels(self._kind)

    @property
    def points_at_once(self) -> int:
        """So many that no product with a task's samples starts the threads of a BLAS."""
        from maml_ode.compiled.batches import MOST_PRODUCTS

        return MOST_PRODUCTS // (max(self.n_samples) * self.dim)

    def _content(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the packed data with dense samples row by row, as they are given, whatever is stored."""
        floats, integers = self._packed()
        if self.is_sparse:
            yield floats
            yield integers
        else:
            yield floats[: self._n_rows + self.n_tasks + 2]
            yield from self.X
            yield integers[: 5 + self.n_tasks]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if isinstance(self._samples, DenseSamples):
            self._floats = self._samples.placed(self._floats)

    def _packed(self) -> tuple[Array, npt.NDArray[np.int64]]:
        return self._floats, self._integers


def _split_tasks(name: str, value: Any, stacked: str, single: str, ndim: int) -> list[Any]:
    """Return one entry per task of a stacked array or of a sequence, without copying the data."""
    expected = (
        f"{name} must be an array of shape {stacked} or a sequence of arrays of shape {single}"
    )
    if is_sparse(value):
        raise TypeError(
            f"{name} must be a sequence with one entry per task, but it is one sparse matrix of "
            f"shape {value.shape}; write [{name}] for a single task."
        )
    if hasattr(value, "__array__"):
        given = np.asanyarray(value)
        # Rows keep their masks, which are looked at task by task; other subclasses have nothing to say.
        value = given if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
        if value.ndim == 0 or (value.dtype != object and value.ndim != ndim):
            hint = f"; write [{name}] for a single task" if value.ndim == ndim - 1 else ""
            raise ValueError(f"{expected}, but it has shape {value.shape}{hint}.")
    entries = as_sequence(name, value, f"arrays of shape {single}, or one array of shape {stacked}")
    if not entries:
        raise ValueError(f"{expected}, but it holds no tasks.")
    return entries


def _are_sparse(samples: list[Any]) -> bool:
    """Whether all X_i are sparse; a mixture is refused."""
    kinds = [is_sparse(X_i) for X_i in samples]
    if any(kinds) and not all(kinds):
        dense, sparse = kinds.index(False), kinds.index(True)
        raise TypeError(
            f"X must be all dense or all sparse, but X[{dense}] is dense and X[{sparse}] is sparse; "
            "use scipy.sparse.csr_array(...) on the one or .toarray() on the other."
        )
    return any(kinds)


def _check_shapes(samples: list[Any], targets: list[Any]) -> tuple[list[int], int]:
    """Return the sizes n_i and the dimension d, or name the shapes that do not match."""
    if len(samples) != len(targets):
        raise ValueError(
            f"X and y must hold the same tasks, but X holds {len(samples)} "
            f"and y holds {len(targets)}."
        )
    sizes: list[int] = []
    first = samples[0].shape
    for i, (X_i, y_i) in enumerate(zip(samples, targets, strict=True)):
        shape, target = X_i.shape, y_i.shape
        if len(shape) != 2:
            raise ValueError(
                f"X[{i}] must have shape (n_i, d), but it has shape {shape}; "
                f"use np.reshape(X[{i}], (-1, 1)) for samples of a single feature."
            )
        if 0 in shape:
            raise ValueError(
                f"X[{i}] must hold at least one sample and one feature, but it has shape {shape}; "
                "leave empty tasks out."
            )
        if shape[1] != first[1]:
            raise ValueError(
                f"all tasks must have the same number of features, but X[0] has shape {first} "
                f"and X[{i}] has shape {shape}."
            )
        if target != shape[:1]:
            hint = f"; use np.ravel(y[{i}])" if target == (shape[0], 1) else ""
            raise ValueError(
                f"y[{i}] must have shape ({shape[0]},) to match X[{i}] of shape {shape}, "
                f"but it has shape {target}{hint}."
            )
        sizes.append(shape[0])
    return sizes, first[1]


def _scales(reduction: str, sizes: list[int]) -> Array:
    n = np.array(sizes, dtype=np.float64)
    if reduction == "mean":
        return 1.0 / n
    if reduction == "half_mean":
        return 0.5 / n
    return np.ones_like(n)

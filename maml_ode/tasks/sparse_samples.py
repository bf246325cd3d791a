"""Sparse samples X_i: from any ``scipy.sparse`` container to the kernels' buffers and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, freeze, real_array

Integers = npt.NDArray[np.int64]

__all__ = ["SparseSamples", "is_sparse"]


def is_sparse(value: Any) -> bool:
    """Whether ``value`` is a ``scipy.sparse`` matrix or array, without importing ``scipy``."""
    return hasattr(value, "tocsr")  # as every container of scipy.sparse and no dense one has


class SparseSamples:
    """Where the samples of M tasks stand in the flat buffers of a family.

    The values are the last ``nnz`` floats. The last integers are the first entry of each task (M)
    and the number of entries, the row pointers of each task (n_i + 1 each, counted from its first
    entry), and the columns (nnz). An entry takes 16 bytes; a SciPy matrix with 32-bit columns takes
    12.
    """

    def __init__(self, sizes: list[int], n_floats: int, n_integers: int) -> None:
        """Lay the samples out behind ``n_floats`` floats and ``n_integers`` integers."""
        self._sizes = sizes
        self._values = n_floats
        self._starts = n_integers
        self._pointers = n_integers + len(sizes) + 1
        self._columns = self._pointers + sum(sizes) + len(sizes)

    def pack(
        self, samples: list[Any], head: Array, integer_head: Integers
    ) -> tuple[Array, Integers]:
        """Return new buffers that hold the samples behind these heads.

        Entries stored twice are summed, columns sorted, stored zeros kept.

        Raises
        ------
        TypeError
            If the entries are not real numbers.
        ValueError
            If an entry is not finite or the indices are not those of a matrix of this shape.
        """
        room = sum(int(X.nnz) for X in samples)
        floats = np.empty(self._values + room)
        integers = np.empty(self._columns + room, dtype=np.int64)
        floats[: head.size], integers[: integer_head.size] = head, integer_head
        used, pointer = 0, self._pointers
        for i, (X, size) in enumerate(zip(samples, self._sizes, strict=True)):
            name = f"X[{i}]"
            rows = _canonical(name, X)
            first, used = used, used + int(rows.nnz)
            values = floats[self._values + first : self._values + used]
            values[:] = real_array(f"{name} (its stored entries)", rows.data, booleans=True)
            _check_finite(name, values, rows)
            integers[self._columns + first : self._columns + used] = rows.indices
            integers[pointer : pointer + size + 1] = rows.indptr
            integers[self._starts + i] = first
            pointer += size + 1
        integers[self._starts + len(samples)] = used
        if used < room:  # some entries were stored twice
            floats = floats[: self._values + used].copy()
            integers = integers[: self._columns + used].copy()
        return floats, integers

    def views(self, floats: Array, integers: Integers, dim: int) -> tuple[Any, ...]:
        """Return the samples as CSR arrays that share the buffers, read-only."""
        from scipy.sparse import csr_array

        arrays = []
        pointer = self._pointers
        for i, size in enumerate(self._sizes):
            first, stop = integers[self._starts + i], integers[self._starts + i + 1]
            X = csr_array((size, dim), dtype=np.float64)
            # Set one by one: the constructor would copy the indices to 32 bits.
            X.data = freeze(floats[self._values + first : self._values + stop])
            X.indices = freeze(integers[self._columns + first : self._columns + stop])
            X.indptr = freeze(integers[pointer : pointer + size + 1])
            X.has_canonical_format = True
            arrays.append(X)
            pointer += size + 1
        return tuple(arrays)


def _canonical(name: str, X: Any) -> Any:
    """Return X in CSR with sorted columns and no entry stored twice; X itself is not touched."""
    from scipy.sparse import bsr_array, csc_array, csr_array

    if X.dtype.kind not in "biuf":
        hint = f"; pass {name}.real if the imaginary part is nothing but rounding"
        raise TypeError(
            f"{name} must hold real numbers, not {X.dtype}{hint if X.dtype.kind == 'c' else ''}."
        )
    compressed = {"bsr": bsr_array, "csc": csc_array, "csr": csr_array}
    if X.format in compressed:
        # A second header for the same data: SciPy notes what it finds in the one that it checks.
        try:
            X = compressed[X.format]((X.data, X.indices, X.indptr), shape=X.shape)
            X.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(
                f"{name} must be a valid sparse matrix, but its indices are not: {error}; "
                "build it anew with scipy.sparse.coo_array."
            ) from None
    rows = X.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def _check_finite(name: str, values: Array, rows: Any) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        entry = int(np.argmin(finite))
        row = int(np.searchsorted(rows.indptr, entry, side="right")) - 1
        raise ValueError(
            f"{name} must be finite, but {name}[{row}, {int(rows.indices[entry])}] is "
            f"{values[entry]}; remove or replace the non-finite entries."
        )

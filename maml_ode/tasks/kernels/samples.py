"""The samples of one task of a linear model, dense or sparse, and the products with them.

Layout: floats = [y (N), s (M), l2, smoothing, X], integers = [M, d, N, kind, first row of each task (M), N].
To the kind FREE is added once for every coordinate at the end of w that the ridge term leaves out.
A loop is long enough to be vectorised if it runs over the longer side of X_i, so that the block of task i in X
is X_i' where n_i > d, and X_i elsewhere. For sparse data X is the stored entries (nnz), and integers go on with
[first entry of each task (M), nnz, row pointers of each task (N + M), columns (nnz)]; the row pointers of a
task count its own entries, from 0.

A sample enters a product only through inner products with its own row. Every product therefore reads X once, a
block of samples at a time: first for their inner products, then, while they are in the cache, for their share
of the result. In high dimension the memory sets the pace.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types

from maml_ode.compiled.contract import DATA, INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner
from maml_ode.tasks.kernels import dense_products, sparse_products
from maml_ode.tasks.margin_losses import FREE

ROWS, COLUMNS, SPARSE = range(3)

# X_i as stored, its integers if sparse, d, the form.
SAMPLES = types.Tuple((VECTOR, sparse_products.INTEGERS, INDEX, INDEX))
# The samples, y, s, (l2, penalized), smoothing.
RIDGE = types.Tuple((REAL, INDEX))
TASK = types.Tuple((SAMPLES, VECTOR, REAL, RIDGE, REAL))

# The numbers in a block of samples: 256 kB, a part of the second-level cache.
BLOCK_SIZE = 32768


@inner(INDEX(INDEX, INDEX))
def block_size(n, d):
    """Return how many of n samples are looked at while they are in the cache."""
    return min(n, max(4, BLOCK_SIZE // d // 4 * 4))


def _task(sparse: bool) -> Any:
    @inner(TASK(INDEX, DATA))
    def task(i, data):
        """Return views of X_i and y_i, with s_i, the ridge and the smoothing."""
        floats, integers = data
        n_tasks, d, n_rows = integers[0], integers[1], integers[2]
        free = integers[3] // FREE
        row, next_row = integers[4 + i], integers[5 + i]
        n = next_row - row
        tail = n_rows + n_tasks
        start, stop = row * d, next_row * d
        first = last = 0
        form = COLUMNS if n > d else ROWS
        if sparse:
            form = SPARSE
            entries = 5 + n_tasks  # where the integers of sparse samples begin
            start, stop = integers[entries + i], integers[entries + 1 + i]
            # From its row pointers to its last column: what is between is not read.
            first = entries + 1 + n_tasks + row + i
            last = entries + 1 + 2 * n_tasks + n_rows + stop
        samples = floats[tail + 2 + start : tail + 2 + stop], integers[first:last], d, form
        ridge = floats[tail], d - free
        return samples, floats[row:next_row], floats[n_rows + i], ridge, floats[tail + 1]

    return task


def _predict(sparse: bool) -> Any:
    @inner(types.void(SAMPLES, INDEX, INDEX, INDEX, VECTOR, VECTOR))
    def predict(samples, n, start, stop, w, out):
        """Set out[j] = x_j'w for the samples from start to stop of n."""
        X, integers, d, form = samples
        for j in range(stop - start):
            out[j] = 0.0
        if sparse:
            sparse_products.add_products(X, integers, start, stop, w, out)
        elif form == COLUMNS:
            dense_products.add_combination(w, X, n, 0, d, start, stop, out)
        else:
            dense_products.add_products(X, d, start, stop, 0, d, w, out)

    return predict


def _accumulate(sparse: bool) -> Any:
    @inner(types.void(SAMPLES, INDEX, INDEX, INDEX, VECTOR, VECTOR))
    def accumulate(samples, n, start, stop, c, out):
        """Add sum_j c[j] x_j to out for the samples from start to stop of n."""
        X, integers, d, form = samples
        if sparse:
            sparse_products.add_combination(c, X, integers, start, stop, out)
        elif form == COLUMNS:
            dense_products.add_products(X, n, 0, d, start, stop, c, out)
        else:
            dense_products.add_combination(c, X, d, start, stop, 0, d, out)

    return accumulate


def _weighted_gram(sparse: bool) -> Any:
    @inner(types.void(SAMPLES, VECTOR, MATRIX))
    def weighted_gram(samples, c, out):
        """Set out = X' diag(c) X, symmetric to the last bit."""
        X, integers, d, form = samples
        if sparse:
            sparse_products.weighted_gram(X, integers, c, out)
            return
        n = c.size
        height, width = (d, n) if form == COLUMNS else (n, d)
        weighted = np.empty(X.size)  # what is not stored of X' and X, times c
        for r in range(height):
            for k in range(width):
                weighted[k * height + r] = X[r * width + k] * (c[k] if form == COLUMNS else c[r])
        left, right = (X, weighted) if form == COLUMNS else (weighted, X)
        np.dot(left.reshape((d, n)), right.reshape((n, d)), out)
        for r in range(d):
            for k in range(r):
                mean = 0.5 * (out[r, k] + out[k, r])
                out[r, k] = mean
                out[k, r] = mean

    return weighted_gram


class SampleFunctions(NamedTuple):
    """The functions of one form of samples."""

    task: Any
    predict: Any
    accumulate: Any
    weighted_gram: Any


@cache
def sample_functions(sparse: bool) -> SampleFunctions:
    """Return the functions of dense or sparse samples, each compiled with its first caller."""
    return SampleFunctions(
        _task(sparse), _predict(sparse), _accumulate(sparse), _weighted_gram(sparse)
    )

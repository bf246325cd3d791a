"""The samples of one task of a linear model, dense or sparse, and the products with them.

Layout: floats = [y (N), s (M), l2, smoothing, X], integers = [M, d, N, kind, first row of each task (M), N].
To the kind FREE is added once for every coordinate at the end of w that the ridge term leaves out.
integers go on with [first number of each task in X (M), size of X].
A loop is long enough to be vectorised if it runs over the longer side of X_i, so that the block of task i in X
is X_i' where n_i > d, and X_i elsewhere. The rows of a long X_i' end with zeros up to a multiple of LINE
numbers, so that each begins on a line of the cache: vectors that lie across two lines are read at half the speed.
Products go over the zeros too. For sparse data X is the stored entries (nnz), and integers go on further with
[row pointers of each task (N + M), columns (nnz)]; the row pointers of a task count its own entries, from 0.

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
from maml_ode.compiled.scratch import address, borrowed
from maml_ode.tasks.dense_samples import LINE, LONG
from maml_ode.tasks.kernels import dense_products, sparse_products
from maml_ode.tasks.margin_losses import FREE

# X_i as stored, its integers if sparse, n, d, the width of a stored row: d or, if it is greater, that of X_i'.
SAMPLES = types.Tuple((VECTOR, sparse_products.INTEGERS, INDEX, INDEX, INDEX))
# The samples, y, s, (l2, penalized), smoothing. Behind y_i stand other numbers of the family, up to the width of
# X_i' if that is stored: what is done for each sample of it is done for whole lines, and counts nothing there.
RIDGE = types.Tuple((REAL, INDEX))
TASK = types.Tuple((SAMPLES, VECTOR, REAL, RIDGE, REAL))

# The numbers in a block of samples. If features lie one after another, 25 kB, half of a first-level cache, so
# that the block is still there when it is read again, if `SHORTEST` samples are in it at least, as loops are to be
# long; else 256 kB, a part of the second-level cache. If samples lie one after another, 64 kB, of which the
# first-level cache holds most.
FEW_BY_FEATURES, SHORTEST = 3200, 128
MOST_BY_FEATURES, MOST_BY_SAMPLES = 32768, 8192


@inner(INDEX(INDEX))
def whole_lines(n):
    """Return n rounded up to a multiple of LINE."""
    return (n + LINE - 1) // LINE * LINE


@inner(VECTOR(VECTOR), forceinline=True)
def on_lines(array):
    """Return an array without its owner, from the first number on that begins a line of the cache."""
    array = borrowed(array)
    return array[-(address(array) // array.itemsize) % LINE :]


@inner(INDEX(INDEX, INDEX))
def block_size(n, d):
    """Return how many of n samples are looked at while they are in the cache, rounded up."""
    most = MOST_BY_SAMPLES
    if n > d:
        most = FEW_BY_FEATURES if SHORTEST * d <= FEW_BY_FEATURES else MOST_BY_FEATURES
    lines = whole_lines(n)
    return lines if lines * d <= most else min(lines, max(LINE, most // d // LINE * LINE))


@inner(INDEX(INDEX, INDEX))
def last_start(n, block):
    """Return where the last of the blocks of n samples begins."""
    return 0 if n <= block else (n - 1) // block * block


def _task(sparse: bool) -> Any:
    @inner(TASK(INDEX, DATA), forceinline=True)
    def task(i, data):
        """Return views of X_i and y_i, with s_i, the ridge and the smoothing."""
        floats, integers = data
        n_tasks, d, n_rows = integers[0], integers[1], integers[2]
        free = integers[3] // FREE
        row, next_row = integers[4 + i], integers[5 + i]
        n = next_row - row
        tail = n_rows + n_tasks
        blocks = 5 + n_tasks  # where the integers of the samples begin
        start, stop = integers[blocks + i], integers[blocks + 1 + i]
        first = last = 0
        width = d
        if n > d:
            width = whole_lines(n) if n >= LONG else n
        if sparse:
            # From its row pointers to its last column: what is between is not read.
            first = blocks + 1 + n_tasks + row + i
            last = blocks + 1 + 2 * n_tasks + n_rows + stop
        samples = floats[tail + 2 + start : tail + 2 + stop], integers[first:last], n, d, width
        ridge = floats[tail], d - free
        stored = n if sparse or n <= d else width
        y = floats[row : row + stored]
        return samples, y, floats[n_rows + i], ridge, floats[tail + 1]

    return task


def _predict(sparse: bool) -> Any:
    @inner(types.void(SAMPLES, INDEX, INDEX, VECTOR, VECTOR))
    def predict(samples, start, stop, w, out):
        """Set out[j] = x_j'w for the samples from start to stop; there is room in it for whole lines."""
        X, integers, _, d, width = samples
        if not sparse and width > d:
            count = min(whole_lines(stop - start), width - start)
            dense_products.combine(True, w, X, width, 0, d, start, start + count, out)
            return
        for j in range(stop - start):
            out[j] = 0.0
        if sparse:
            sparse_products.add_products(X, integers, start, stop, w, out)
        else:
            dense_products.add_products(X, d, start, stop, 0, d, w, out)

    return predict


def _accumulate(sparse: bool) -> Any:
    @inner(types.void(SAMPLES, INDEX, INDEX, VECTOR, VECTOR))
    def accumulate(samples, start, stop, c, out):
        """Add sum_j c[j] x_j to out for the samples from start to stop; the last line of c is filled up."""
        X, integers, n, d, width = samples
        if sparse:
            sparse_products.add_combination(c, X, integers, start, stop, out)
        elif width > d:
            count = min(whole_lines(stop - start), width - start)
            for j in range(min(stop, n) - start, count):
                c[j] = 0.0
            dense_products.add_products(X, width, 0, d, start, start + count, c, out)
        else:
            dense_products.combine(False, c, X, d, start, stop, 0, d, out)

    return accumulate


def _weighted_gram(sparse: bool) -> Any:
    @inner(types.void(SAMPLES, VECTOR, MATRIX))
    def weighted_gram(samples, c, out):
        """Set out = X' diag(c) X, symmetric to the last bit."""
        X, integers, n, d, width = samples
        if sparse:
            sparse_products.weighted_gram(X, integers, c, out)
            return
        columns = width > d
        depth = width if columns else n
        weighted = np.zeros(X.size)  # what is not stored of X' and X, times c
        for r in range(d if columns else n):
            for k in range(n if columns else d):
                weighted[k * (d if columns else n) + r] = X[r * width + k] * c[k if columns else r]
        left, right = (X, weighted) if columns else (weighted, X)
        np.dot(left.reshape((d, depth)), right.reshape((depth, d)), out)
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

"""Products with the sparse samples of a task: its stored entries by rows.

``integers`` are the n + 1 row pointers of the task and then, at the end, a column for each entry. Every product
reads the entries of its samples once, row by row.
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, VECTOR
from maml_ode.compiled.decorators import inner

INTEGERS = types.int64[::1]

# Columns are taken as unsigned: an index that may be negative costs a test at every entry.


@inner(types.void(VECTOR, INTEGERS, INDEX, INDEX, VECTOR, VECTOR))
def add_products(values, integers, start, stop, w, out):
    """Add x_j'w to out[j - start] for the samples from start to stop."""
    first = integers.size - values.size
    for j in range(start, stop):
        total = 0.0
        for e in range(integers[j], integers[j + 1]):
            total += values[e] * w[np.uint64(integers[first + e])]
        out[j - start] += total


@inner(types.void(VECTOR, VECTOR, INTEGERS, INDEX, INDEX, VECTOR))
def add_combination(c, values, integers, start, stop, out):
    """Add sum_j c[j - start] x_j to out for the samples from start to stop."""
    first = integers.size - values.size
    for j in range(start, stop):
        factor = c[j - start]
        for e in range(integers[j], integers[j + 1]):
            out[np.uint64(integers[first + e])] += factor * values[e]


@inner(types.void(VECTOR, INTEGERS, VECTOR, MATRIX))
def weighted_gram(values, integers, c, out):
    """Set out = X' diag(c) X, symmetric to the last bit, in O(d^2 + sum of squared row counts)."""
    first = integers.size - values.size
    for r in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[r, k] = 0.0
    for j in range(c.size):
        for e in range(integers[j], integers[j + 1]):
            row = np.uint64(integers[first + e])
            for f in range(integers[j], integers[j + 1]):
                column = np.uint64(integers[first + f])
                out[row, column] += c[j] * (values[e] * values[f])

"""Products with some rows and columns of a dense matrix, which lies row by row in a flat array.

Four rows are taken at a time, so that the other vector is read a fourth as often. Where fewer are left, the last
one stands in for those that are missing, and counts nothing: what is short to write is short to compile. BLAS
would start threads, which on a busy machine wait for each other longer than they work.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled.contract import INDEX, VECTOR
from maml_ode.compiled.decorators import inner

# Sums may be reordered, so that they are vectorised; NaN and infinity keep their meaning.
REORDER = {"reassoc", "contract"}


@inner(types.UniTuple(VECTOR, 4)(VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX), forceinline=True)
def _four_rows(flat, width, row, last, left, m):
    """Return m numbers of four rows, from ``row`` on, none behind the last."""
    first = row * width + left
    second = min(row + 1, last) * width + left
    third = min(row + 2, last) * width + left
    fourth = min(row + 3, last) * width + left
    return (
        flat[first : first + m],
        flat[second : second + m],
        flat[third : third + m],
        flat[fourth : fourth + m],
    )


@inner(types.void(VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX, VECTOR, VECTOR), fastmath=REORDER)
def add_products(flat, width, top, bottom, left, right, c, out):
    """Add c'rows[r, left:right] to out[r - top] for the rows from top to bottom, the last ones first."""
    m = right - left
    for r in range(top + (bottom - top - 1) // 4 * 4, top - 1, -4):
        x0, x1, x2, x3 = _four_rows(flat, width, r, bottom - 1, left, m)
        s0 = s1 = s2 = s3 = 0.0
        for k in range(m):
            s0 += x0[k] * c[k]
            s1 += x1[k] * c[k]
            s2 += x2[k] * c[k]
            s3 += x3[k] * c[k]
        first, missing = r - top, r + 4 - bottom
        out[first] += s0
        if missing < 3:
            out[first + 1] += s1
        if missing < 2:
            out[first + 2] += s2
        if missing < 1:
            out[first + 3] += s3


@inner(types.void(VECTOR, VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX, VECTOR), fastmath=REORDER)
def add_combination(c, flat, width, top, bottom, left, right, out):
    """Add sum_r c[r - top] rows[r, left:right] to out, over the rows from top to bottom."""
    m = right - left
    for r in range(top, bottom, 4):
        x0, x1, x2, x3 = _four_rows(flat, width, r, bottom - 1, left, m)
        first, missing = r - top, r + 4 - bottom
        c0 = c[first]
        c1 = c[first + 1] if missing < 3 else 0.0
        c2 = c[first + 2] if missing < 2 else 0.0
        c3 = c[first + 3] if missing < 1 else 0.0
        for k in range(m):
            out[k] += (c0 * x0[k] + c1 * x1[k]) + (c2 * x2[k] + c3 * x3[k])

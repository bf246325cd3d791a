"""Products with some rows and columns of a dense matrix, which lies row by row in a flat array.

Four rows are taken at a time, so that the other vector is read a fourth as often. BLAS would start threads,
which on a busy machine wait for each other longer than they work.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled.contract import INDEX, VECTOR
from maml_ode.compiled.decorators import inner

# Sums may be reordered, so that they are vectorised; NaN and infinity keep their meaning.
REORDER = {"reassoc", "contract"}


@inner(types.void(VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX, VECTOR, VECTOR), fastmath=REORDER)
def add_products(flat, width, top, bottom, left, right, c, out):
    """Add c'rows[r, left:right] to out[r - top] for the rows from top to bottom, the last ones first."""
    m = right - left
    fours = bottom - (bottom - top) % 4
    for r in range(fours, bottom):
        x = flat[r * width + left : r * width + right]
        s = 0.0
        for k in range(m):
            s += x[k] * c[k]
        out[r - top] += s
    for r in range(fours - 4, top - 1, -4):
        first = r * width + left
        x0, first = flat[first : first + m], first + width
        x1, first = flat[first : first + m], first + width
        x2, first = flat[first : first + m], first + width
        x3 = flat[first : first + m]
        s0 = s1 = s2 = s3 = 0.0
        for k in range(m):
            s0 += x0[k] * c[k]
            s1 += x1[k] * c[k]
            s2 += x2[k] * c[k]
            s3 += x3[k] * c[k]
        out[r - top] += s0
        out[r - top + 1] += s1
        out[r - top + 2] += s2
        out[r - top + 3] += s3


@inner(types.void(VECTOR, VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX, VECTOR), fastmath=REORDER)
def add_combination(c, flat, width, top, bottom, left, right, out):
    """Add sum_r c[r - top] rows[r, left:right] to out, over the rows from top to bottom."""
    m = right - left
    fours = bottom - (bottom - top) % 4
    for r in range(top, fours, 4):
        first = r * width + left
        x0, first = flat[first : first + m], first + width
        x1, first = flat[first : first + m], first + width
        x2, first = flat[first : first + m], first + width
        x3 = flat[first : first + m]
        c0, c1, c2, c3 = c[r - top], c[r - top + 1], c[r - top + 2], c[r - top + 3]
        for k in range(m):
            out[k] += (c0 * x0[k] + c1 * x1[k]) + (c2 * x2[k] + c3 * x3[k])
    for r in range(fours, bottom):
        x = flat[r * width + left : r * width + right]
        for k in range(m):
            out[k] += c[r - top] * x[k]

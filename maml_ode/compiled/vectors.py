"""Copies and sums of vectors as loops.

Numba compiles ``out[:] = w`` together with a check of the shapes that formats its error message: 1.5 s for the
first such line in a process that compiles. The vectors here have the same length by construction.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled.contract import REAL, VECTOR
from maml_ode.compiled.decorators import inner


@inner(types.void(VECTOR, VECTOR))
def copy(source, out):
    """Set out = source."""
    for k in range(out.size):
        out[k] = source[k]


@inner(types.void(REAL, VECTOR, VECTOR))
def add_multiple(factor, v, out):
    """Add factor v to out."""
    for k in range(out.size):
        out[k] += factor * v[k]

"""Copies, sums and products of vectors.

Numba compiles ``out[:] = w`` together with a check of the shapes that formats its error message: 1.5 s for the
first such line in a process that compiles. The vectors here have the same length by construction.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

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


@intrinsic
def inner_product(typing_context, x, y):
    """Return x'y as np.dot does, which is compiled together with a check of the lengths and its message."""

    def generate(context, builder, signature, arguments):
        from numba.np.linalg import call_xxdot, ensure_blas

        ensure_blas()
        first, second = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        )
        out = cgutils.alloca_once(builder, context.get_value_type(REAL))
        (size,) = cgutils.unpack_tuple(builder, first.shape)
        call_xxdot(context, builder, False, REAL, size, first.data, second.data, out)
        return builder.load(out)

    return REAL(x, y), generate

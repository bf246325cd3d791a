"""Fields of families at many points at once, for families whose products with data then are matrix-matrix.

A family offers three kernels, which see all points of one task together; the loops over tasks and inner steps are
those of ``maml_ode.compiled.maml``, in which every point has its own alpha. Results agree with those of one point
at a time to rounding: a BLAS sums in its own order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba import types
from numba.experimental import structref

from maml_ode.compiled.contract import DATA, INDEX, MATRIX, VECTOR
from maml_ode.compiled.decorators import compiled, inner, on_demand
from maml_ode.compiled.fields import FIELD, FIRST_ORDER, MAML

# OpenBLAS takes more threads than one for larger products, which on a busy machine wait for each other.
MOST_PRODUCTS = 2**18

# Of so many points: the numbers on a tape, for any task; order as in ``contract``.
BATCH_SIZE = INDEX(INDEX, INDEX, DATA)  # (order, points, data)
BATCH_GRADIENT = types.void(
    INDEX, MATRIX, INDEX, DATA, VECTOR, MATRIX
)  # (i, W, order): rows grad f_i
BATCH_HVP = types.void(INDEX, MATRIX, DATA, VECTOR, MATRIX)  # (i, V), after the gradient of order 1


@structref.register
class _BatchType(types.StructRef):
    """Numba type of a family's kernels at many points."""


class Batch(structref.StructRefProxy):
    """A family's kernels at many points as Python sees them: an opaque handle."""

    def __new__(cls, *args: Any) -> Batch:
        """Refuse: a handle is made by `pack_batch`."""
        raise TypeError("build a Batch with pack_batch().")


structref.define_boxing(_BatchType, Batch)

_FIELDS = {
    "size": types.FunctionType(BATCH_SIZE),
    "gradient": types.FunctionType(BATCH_GRADIENT),
    "hvp": types.FunctionType(BATCH_HVP),
}
BATCH = _BatchType(list(_FIELDS.items()))


@on_demand(BATCH(*_FIELDS.values()))
def _pack(size, gradient, hvp):
    batch = structref.new(BATCH)
    batch.size = size
    batch.gradient = gradient
    batch.hvp = hvp
    return batch


@dataclass(frozen=True)
class BatchedKernels:
    """The kernels of a family at many points, each with its signature ``BATCH_...``."""

    size: Any
    gradient: Any
    hvp: Any


def pack_batch(kernels: BatchedKernels) -> Any:
    """Return the native handle of a family's kernels at many points; the caller keeps them alive."""
    return _pack(compiled(kernels.size), compiled(kernels.gradient), compiled(kernels.hvp))


@inner(INDEX(FIELD, INDEX, INDEX, BATCH))
def room_for(field, points, dim, batch):
    """Return how many numbers an evaluation at so many points has to work with."""
    tape = max(batch.size(1, points, field.problem.data), batch.size(0, points, field.query.data))
    return (field.inner_steps + 1) * (points * dim + tape) + 2 * points * dim


@inner(types.void(MATRIX, VECTOR, MATRIX, MATRIX))
def _step(U, alphas, G, out):
    """Set out = U - alpha G, row by row; ``out`` may be ``U``."""
    for b in range(U.shape[0]):
        for k in range(U.shape[1]):
            out[b, k] = U[b, k] - alphas[b] * G[b, k]


@inner(types.void(MATRIX, types.float64, MATRIX))
def _subtract(G, p, out):
    """Subtract p G from out."""
    for b in range(G.shape[0]):
        for k in range(G.shape[1]):
            out[b, k] -= p * G[b, k]


@inner(types.void(FIELD, VECTOR, MATRIX, BATCH, VECTOR, MATRIX))
def evaluate_rows(field, alphas, W, batch, room, out):
    """Fill the rows of out with the field at the rows of W, which have the inner step sizes ``alphas``."""
    points, dim = W.shape
    problem, query, steps = field.problem, field.query, field.inner_steps
    order = 1 if field.kind == MAML else 0
    tape = max(batch.size(order, points, problem.data), batch.size(0, points, query.data))
    block = points * dim
    path = room[: (steps + 1) * block].reshape((steps + 1, points, dim))
    at = (steps + 1) * block
    Q = room[at : at + block].reshape((points, dim))
    R = room[at + block : at + 2 * block].reshape((points, dim))
    tapes = room[at + 2 * block : at + 2 * block + (steps + 1) * tape].reshape((steps + 1, tape))
    for b in range(points):
        for k in range(dim):
            out[b, k] = 0.0
            path[0, b, k] = W[b, k]
    reptile = field.kind != MAML and field.kind != FIRST_ORDER
    for i in range(problem.weights.size):
        p = problem.weights[i]
        for j in range(steps):
            batch.gradient(i, path[j], order, problem.data, tapes[j], Q)
            _step(path[j], alphas, Q, path[j + 1])
            if reptile:
                _subtract(Q, p, out)
        if reptile:
            continue
        batch.gradient(i, path[steps], 0, query.data, tapes[steps], Q)
        if order == 1:
            for j in range(steps - 1, -1, -1):
                batch.hvp(i, Q, problem.data, tapes[j], R)
                _step(Q, alphas, R, Q)
        _subtract(Q, p, out)

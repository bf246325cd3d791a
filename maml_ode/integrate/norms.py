"""The Euclidean norm without overflow, by the name that the integrators know it by."""

from __future__ import annotations

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array

__all__ = ["row_norms", "vector_norm"]


def row_norms(rows: Array) -> Array:
    """Return `vector_norm` of every row, shape (n,)."""
    return np.array([vector_norm(row) for row in rows])

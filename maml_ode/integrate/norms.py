"""The Euclidean norm without overflow, by the name that the integrators know it by."""

from __future__ import annotations

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array

__all__ = ["all_finite", "vector_norm"]


def all_finite(v: Array) -> bool:
    """Whether all entries of a vector are finite."""
    return bool(np.isfinite(v).all())

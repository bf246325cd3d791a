"""The Euclidean norm without overflow, by the name that the integrators know it by."""

from __future__ import annotations

from maml_ode._norms import vector_norm

__all__ = ["vector_norm"]

"""Norms without overflow and looks for numbers that are not finite, by the names that the integrators know."""

from __future__ import annotations

from maml_ode._norms import all_finite, vector_norm, vector_norms

__all__ = ["all_finite", "vector_norm", "vector_norms"]

"""The vector fields under the name that users know: ``mo.fields.CallableField`` and its like."""

from maml_ode.flows.fields import (
    CallableField,
    FirstOrderField,
    GradientField,
    ModifiedField,
    ReptileField,
    VectorField,
)

__all__ = [
    "CallableField",
    "FirstOrderField",
    "GradientField",
    "ModifiedField",
    "ReptileField",
    "VectorField",
]

"""The vector fields under the name that users know: ``mo.fields.CallableField`` and its like."""

from maml_ode.flows.fields import CallableField, GradientField, ModifiedField, VectorField
from maml_ode.flows.inner_step_fields import FirstOrderField, ReptileField

__all__ = [
    "CallableField",
    "FirstOrderField",
    "GradientField",
    "ModifiedField",
    "ReptileField",
    "VectorField",
]

"""The vector fields under the name that users know: ``mo.fields.CallableField`` and its like."""

from maml_ode.flows.callable_field import CallableField
from maml_ode.flows.fields import GradientField, VectorField
from maml_ode.flows.inner_step_fields import FirstOrderField, ReptileField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.flows.modified_field import ModifiedField
from maml_ode.flows.second_order_fields import MomentumField, NesterovField

__all__ = [
    "CallableField",
    "FirstOrderField",
    "GradientField",
    "LiftedField",
    "ModifiedField",
    "MomentumField",
    "NesterovField",
    "ReptileField",
    "VectorField",
]

"""Flows: sequences of phases, each a vector field with a rule that ends it, and the named flows."""

from maml_ode.flows.fields import VectorField
from maml_ode.flows.flow import Flow, Phase, SwitchRule
from maml_ode.flows.named import (
    bimaml_flow,
    fomaml_flow,
    gradient_flow,
    maml_flow,
    modified_flow,
    momentum_flow,
    nesterov_flow,
    reptile_flow,
)
from maml_ode.flows.switch_rules import EndingRule, GradientNormBelow, OnlineSwitch

__all__ = [
    "EndingRule",
    "Flow",
    "GradientNormBelow",
    "OnlineSwitch",
    "Phase",
    "SwitchRule",
    "VectorField",
    "bimaml_flow",
    "fomaml_flow",
    "gradient_flow",
    "maml_flow",
    "modified_flow",
    "momentum_flow",
    "nesterov_flow",
    "reptile_flow",
]

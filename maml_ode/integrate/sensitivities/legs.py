"""A flow as the driver reads it, on the state and its derivatives, with an end that is located."""

from __future__ import annotations

from maml_ode.flows import EndingRule, Flow
from maml_ode.flows.flow import Leg
from maml_ode.integrate.sensitivities.field import AugmentedField
from maml_ode.integrate.sensitivities.parameters import Block
from maml_ode.integrate.sensitivities.rules import AtRest, AugmentedRule, FirstOf

__all__ = ["AugmentedLegs"]


class AugmentedLegs:
    """What `Driver` asks of a flow whose phases come one after the other.

    The last phase gets a rule of its own, ||X|| = tol: a stop that is to be differentiated is located like a
    switch.
    """

    retested = False
    re_entrant = False
    is_lifted = False  # the sensitivities beside w are no state of the flow

    def __init__(self, flow: Flow, blocks: list[Block], tol: float) -> None:
        legs = []
        for leg in flow.legs:
            field = AugmentedField(leg.field, blocks)
            rule: EndingRule | None = None
            if leg.rule is not None:
                rule = AugmentedRule(leg.rule, flow.dim)
            if leg.final and tol > 0:
                rest = AugmentedRule(AtRest(field, tol), flow.dim)
                rule = rest if rule is None else FirstOf(rule, rest)
            legs.append(Leg(field, rule, leg.then, leg.final))
        self.legs = tuple(legs)
        self.name = flow.name

    @property
    def last(self) -> Leg:
        """The last phase."""
        return self.legs[-1]

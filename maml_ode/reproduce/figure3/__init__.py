"""Figure 3, ours: integrators against Euler, by the accuracy that a pass over the data buys."""

from maml_ode.reproduce.figure3.artefact import ARTEFACT

__all__ = ["ARTEFACT"]

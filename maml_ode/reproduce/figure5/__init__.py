"""Figure 5, ours: momentum on the MAML loss, algorithms on their flows, beside BI-MAML."""

from maml_ode.reproduce.figure5.artefact import ARTEFACT

__all__ = ["ARTEFACT"]

"""Figure 1: the derivatives of a MAML loss that is not convex, and where its flows end."""

from maml_ode.reproduce.figure1.artefact import ARTEFACT

__all__ = ["ARTEFACT"]

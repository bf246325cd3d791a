"""Figure 4, ours: what BI-MAML saves, in passes over the data."""

from maml_ode.reproduce.figure4.artefact import ARTEFACT

__all__ = ["ARTEFACT"]

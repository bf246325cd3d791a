"""The reproduction report: every statement of the paper's Section 4 with a verdict from numbers."""

from maml_ode.reproduce.report.artefact import ARTEFACT

__all__ = ["ARTEFACT"]

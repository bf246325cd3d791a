"""The four problems of Section 4, in the paper's order, and what a record says of a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maml_ode.experiments import Experiment

__all__ = ["EXPERIMENTS", "TITLES", "constants_of"]

TITLES = {
    "linear_regression": "linear regression",
    "diabetes": "Diabetes",
    "svm": "SVM, synthetic",
    "svm_digits": "SVM, digits",
}
EXPERIMENTS = tuple(TITLES)


def constants_of(problem: Experiment) -> dict[str, Any]:
    """Return an experiment's constants for a record: the names of tasks and features only where there are any."""
    return {
        key: value
        for key, value in problem.constants().items()
        if value is not None or key not in ("task_names", "feature_names")
    }

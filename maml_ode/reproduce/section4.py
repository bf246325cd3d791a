"""The four problems of Section 4, in the paper's order."""

from __future__ import annotations

__all__ = ["EXPERIMENTS", "TITLES"]

TITLES = {
    "linear_regression": "linear regression",
    "diabetes": "Diabetes",
    "svm": "SVM, synthetic",
    "svm_digits": "SVM, digits",
}
EXPERIMENTS = tuple(TITLES)

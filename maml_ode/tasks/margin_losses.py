"""The scalar losses of the linear models, by name and number.

Every linear model is f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||w||^2 with one scalar loss phi of one
scalar t:

    SQUARED               t = y - x'w      phi(t) = t^2
    LOGISTIC              t = -y x'w       phi(t) = log(1 + exp(t))
    HINGE                 t = 1 - y x'w    phi(t) = max(0, t)
    SQUARED_HINGE         t = 1 - y x'w    phi(t) = max(0, t)^2
    SMOOTH_HINGE          t = 1 - y x'w    phi(t) = h(t) = s log(1 + exp(t/s))
    SMOOTH_SQUARED_HINGE  t = 1 - y x'w    phi(t) = h(t)^2
"""

from __future__ import annotations

import enum

from maml_ode.tasks.base import Smoothness

__all__ = ["FREE", "MarginLoss"]

FREE = 64
"""Added to the number of a loss once for every last coordinate of w that the ridge term leaves out."""


class MarginLoss(enum.IntEnum):
    """Which phi a linear model uses; the number is the one that its kernels read."""

    SQUARED = 0
    LOGISTIC = 1
    HINGE = 2
    SQUARED_HINGE = 3
    SMOOTH_HINGE = 4
    SMOOTH_SQUARED_HINGE = 5

    @property
    def smoothness(self) -> Smoothness:
        """How many derivatives of phi are continuous."""
        if self is MarginLoss.HINGE:
            return Smoothness.CONTINUOUS
        if self is MarginLoss.SQUARED_HINGE:
            return Smoothness.GRADIENT
        return Smoothness.SMOOTH

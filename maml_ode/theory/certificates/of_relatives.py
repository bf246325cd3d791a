"""Certificates of FO-MAML and of the Moreau envelope on the same tasks (C19)."""

from __future__ import annotations

import math

from maml_ode.theory.bounds.relatives import fomaml_floor, moreau_curvature
from maml_ode.theory.certificates.certificate import Certificate
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.quantities import Status, worst

__all__ = ["relatives"]


def relatives(setting: Setting) -> list[Certificate]:
    """Return what is known of FO-MAML and of the Moreau envelope on the same tasks."""
    k = setting.constants
    if not (k.mu > 0 and setting.alpha * k.L < 1 and setting.alpha > 0):
        return []
    status = worst(k.mu, k.L, Status.BOUND)
    low, _ = moreau_curvature(1.0 / setting.alpha, k.mu.value, k.L.value)
    certificates = [
        Certificate(
            "moreau_rate",
            "the Moreau-envelope flow with lambda = 1/alpha converges at this rate from everywhere",
            "mu lambda/(mu + lambda) <= lambda_min",
            (),
            True if k.region is None else None,
            value=float(low),
            bound=0.0,
            slack=float(low),
            status=status,
            note="no condition on kappa, sigma or alpha",
        )
    ]
    if math.isfinite(k.sigma) and k.region is None:
        # ||grad f|| <= r sigma/(1 - alpha L) where FO-MAML is stationary
        a, half = 1.0 - setting.alpha * k.L, 0.5 * setting.alpha * (k.L - k.mu)
        gradient = half * k.sigma / a
        mean = (1.0 - setting.alpha * k.mu) * math.hypot(gradient, k.sigma)
        floor = float(fomaml_floor(setting.alpha, k.mu.value, k.L.value, mean))
        certificates.append(
            Certificate(
                "fomaml_floor",
                "where FO-MAML is stationary, ||grad F|| is at most this, and need not be 0",
                "alpha (L - mu)/2 E||grad f_i(u_i)||",
                (),
                True,
                bound=floor,
                status=worst(status, k.sigma),
            )
        )
    return certificates

"""Certificates at a point: they need no sigma, and curvature constants only near the point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_real
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory.bounds.products import all_numbers
from maml_ode.theory.evaluation import all_finite, norm, task_gradients, task_hessians

__all__ = ["LocalCertificate", "fallback_gradient_norm", "local_certificate"]


@dataclass(frozen=True)
class LocalCertificate:
    """What is certain about F in the ball of ``radius`` about ``center``.

    Attributes
    ----------
    center : ndarray of shape (d,)
    radius : float
    strong_convexity : float
        m_loc <= lambda_min(Hess F) on the ball.
    gradient_F_norm : float
        ||grad F(center)||.
    unique : bool
        Whether m_loc > 0 and ||grad F(center)|| < m_loc radius: then the ball holds exactly one
        critical point, the flow does not leave the ball, and it converges at the rate m_loc.
    distance : float
        ||grad F(center)||/m_loc, within which that point lies; ``inf`` if not ``unique``.
    """

    center: Array
    radius: float
    strong_convexity: float
    gradient_F_norm: float
    unique: bool
    distance: float


@np.errstate(all="ignore")  # what is not finite decides nothing
def local_certificate(
    tasks: TaskFamily,
    alpha: float,
    z: npt.ArrayLike,
    *,
    mu_i: npt.ArrayLike,
    L_i: npt.ArrayLike,
    kappa_i: npt.ArrayLike,
    radius: float | None = None,
) -> LocalCertificate:
    r"""Certify a critical point of F near ``z``, e.g. the end of a run, by a **lower** bound of Hess F.

    With b_i = max ||I - alpha Hess f_i||, A_i, g_i^+ = grad f_i(u_i) and H_i^+ = Hess f_i(u_i) at
    z, for ||w - z|| <= R

        lambda_min(Hess F(w)) >= m_loc = lambda_min(E A_i H_i^+ A_i)
            - alpha E kappa_i (||g_i^+|| + L_i b_i R) - E kappa_i (2 alpha L_i b_i + b_i^3) R.

    Proof: w -> u_i is b_i-Lipschitz, so the third-derivative term is at most the second one; the
    last bounds the change of A H^+ A factor by factor. If m_loc > 0 and ||grad F(z)|| < m_loc R,
    then <grad F(w), w - z> > 0 on the sphere, so the ball is forward invariant and holds the
    minimiser of F over it.

    Parameters
    ----------
    tasks : TaskFamily
        With Hessians.
    alpha : float
        Of either sign: where it stands in front of a bound, its size is meant.
    z : array_like of shape (d,)
    mu_i, L_i, kappa_i : array_like of shape (M,)
        Constants of the tasks, valid on the ball and on the images w - alpha grad f_i(w) of its
        points. mu_i may be negative.
    radius : float, optional
        R > 0; by default the one that maximises m_loc R.
    """
    point = as_point("z", z, tasks.dim)
    step = check_real("alpha", alpha)
    p = tasks.weights
    low, high, kappa = all_numbers(mu_i=mu_i, L_i=L_i, kappa_i=kappa_i)
    big = np.maximum(np.abs(high), np.abs(low))
    b = np.maximum(np.abs(1.0 - step * low), np.abs(1.0 - step * high))

    images = point - step * task_gradients(tasks, point)
    A = np.eye(tasks.dim) - step * task_hessians(tasks, point)
    image_gradients = task_gradients(tasks, images)
    gradient_F = p @ np.einsum("mij,mj->mi", A, image_gradients)
    curvature = np.zeros((tasks.dim, tasks.dim))
    for weight, left, hessian in zip(p, A, task_hessians(tasks, images), strict=True):
        curvature += weight * (left @ hessian @ left)
    size_of_gradient = norm(gradient_F)
    if not all_finite(curvature, size_of_gradient):
        return LocalCertificate(point, 0.0, -math.inf, size_of_gradient, False, math.inf)

    base = float(np.linalg.eigvalsh(0.5 * (curvature + curvature.T))[0]) - abs(step) * float(
        p @ (kappa * np.linalg.norm(image_gradients, axis=1))
    )
    slope = float(p @ (kappa * (3.0 * abs(step) * big * b + b**3)))
    if radius is None:
        size = 0.5 * base / slope if base > 0 and slope > 0 else (math.inf if base > 0 else 0.0)
    else:
        size = check_real("radius", radius, minimum=0.0, strict=True)
    m_loc = base - slope * size if slope > 0 else base
    unique = m_loc > 0 and size_of_gradient < m_loc * size
    distance = size_of_gradient / m_loc if unique else math.inf
    return LocalCertificate(point, size, m_loc, size_of_gradient, unique, distance)


def fallback_gradient_norm(t: float, initial_value: float, lower_bound: float) -> float:
    """Return sqrt((F(w0) - F_low)/t), an **upper** bound of min over [0, t] of ||grad F||, for any alpha.

    F(w0) - F(w(t)) = int ||grad F||^2; F_low = sum p_i min f_i serves. The time to ||grad F|| <= K
    is therefore (F(w0) - F_low)/K^2 at most (Lemma D.5 prints the square root of E(0)/K).
    """
    return math.sqrt(max(initial_value - lower_bound, 0.0) / t)

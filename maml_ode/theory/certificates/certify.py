"""All certificates of one problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_real
from maml_ode.tasks.base import Smoothness, TaskFamily, checked_family
from maml_ode.theory.budget import OutOfTime, check_time, time_limit
from maml_ode.theory.certificates.bar import certificate_bar
from maml_ode.theory.certificates.certificate import Certificate, Certificates
from maml_ode.theory.certificates.guarantee import which_guarantee
from maml_ode.theory.certificates.of_a_count import (
    count_everywhere,
    critical_points_certificate,
    settle_uniqueness,
)
from maml_ode.theory.certificates.of_a_point import (
    fallback_certificate,
    gradient_identity,
    local_minimum,
    point_certificates,
)
from maml_ode.theory.certificates.of_a_run import (
    bimaml_certificate,
    iteration_certificate,
    time_certificate,
)
from maml_ode.theory.certificates.of_relatives import relatives
from maml_ode.theory.certificates.of_the_problem import (
    alpha_certificate,
    assumption_certificates,
    critical_set,
    quadratic_exact,
    step_size_certificate,
    unique_minimum,
)
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.evaluation import all_finite, norm, task_gradients
from maml_ode.theory.family_constants.find import constants as find_constants
from maml_ode.theory.family_constants.model import Constants, checked_constants
from maml_ode.theory.minimizer import expected_loss_minimizer
from maml_ode.theory.regions import Ball, RegionNeeded
from maml_ode.theory.step_size import one_step_alpha, outside_theory

__all__ = ["certify"]


@np.errstate(all="ignore")  # what is not finite decides nothing
def certify(
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    *,
    w0: npt.ArrayLike | None = None,
    switch_tol: float | None = None,
    tol: float = 1e-8,
    constants: Constants | None = None,
    max_seconds: float | None = None,
    progress: bool = False,
) -> Certificates:
    """Return what theory guarantees for MAML and BI-MAML on a problem.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size. The statements are about one number of at least 0: for a negative one and for an array
        (of one inner step, as `MAMLLoss` takes it) all of them are undecided, and say so.
    w0 : array_like of shape (d,), optional
        The start; without it there are no times.
    switch_tol : float, optional
        eps0 of BI-MAML.
    tol : float
        eps: stationarity means ||grad F|| <= tol.
    constants : Constants, optional
        From `maml_ode.theory.constants`, for instance on a region of your choice. A family without
        closed-form constants is sampled on a ball about argmin f (or w0) that holds w0 and the
        tasks' steps twice over.
    max_seconds : float, optional
        Wall-clock time after which what is left is not computed. Without it the work is bounded by
        the sizes in ``maml_ode.sizes``: a matrix d x d is not formed above them.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    Certificates
        A list of `Certificate`, indexable by name, with ``table()``, ``to_markdown()`` and
        ``summary()``. Among the names: "smoothness", "strong_convexity", "gradient_variance",
        "lipschitz_hessian", "alpha_limits", "unique_minimum", "critical_points" (in one
        dimension, where a count is to be had), "critical_set", "time_bound",
        "bimaml_time", "iteration_bound", "step_size_limit", "local_minimum",
        "fallback_stationarity", "which_guarantee". What the time did not suffice for, what Ctrl-C
        stopped, and everything where no theorem of this theory can be asked (losses with kinks, a
        family without Hessian-vector products, another alpha) is undecided, with a note "not computed: ...".

    Raises
    ------
    ValueError
        For bad numbers, and where the losses are not finite at the point from which the constants
        are sought: w0, or 0 without it.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> report = mo.theory.certify(tasks, 0.1, w0=[10.0])
    >>> report["unique_minimum"].holds, report["unique_minimum"].status.value
    (True, 'exact')
    """
    checked_family(tasks)
    if constants is not None:
        checked_constants(constants, tasks)
    step = one_step_alpha(tasks, alpha)
    eps = check_real("tol", tol, minimum=0.0, strict=True)
    eps0 = None if switch_tol is None else check_real("switch_tol", switch_tol, minimum=0.0)
    start = None if w0 is None else as_point("w0", w0, tasks.dim)
    limit = None if max_seconds is None else check_real("max_seconds", max_seconds, minimum=0.0)

    found: list[Certificate] = []
    setting: Setting | None = None
    why_not = _out_of_reach(tasks) or outside_theory(step)
    with time_limit(limit), certificate_bar(progress, len(_SEARCHES)) as begin:
        for names, find in _SEARCHES:
            begin(next(iter(names)))
            try:
                if not why_not:
                    check_time()
                    if setting is None:
                        setting = _setting(tasks, float(step), start, eps0, eps, constants)
                    found.extend(find(setting))
                    continue
            except OutOfTime:
                why_not = f"max_seconds = {limit:g} had passed"
            except KeyboardInterrupt:
                why_not = "interrupted"
            done = {item.name for item in found}
            found += [
                _not_computed(*item, why_not) for item in names.items() if item[0] not in done
            ]
    guarantee = _guarantee(setting, Certificates(found), why_not)
    summary = guarantee.statement
    if guarantee.holds and why_not:  # a stronger one may be among what was not looked at
        summary += f" Some certificates were not computed: {why_not}."
    return Certificates([*found, guarantee], summary=summary)


def _not_computed(name: str, statement: str, why_not: str) -> Certificate:
    return Certificate(name, statement, "", (), None, note=f"not computed: {why_not}")


def _guarantee(setting: Setting | None, found: Certificates, why_not: str) -> Certificate:
    if setting is not None:
        guarantee = which_guarantee(setting, found)
        if guarantee.holds or not why_not:
            return guarantee
    return _not_computed("which_guarantee", f"No guarantee is known: {why_not}.", why_not)


def _out_of_reach(tasks: TaskFamily) -> str:
    """Return why no statement of this theory can be asked of a family; empty if they can."""
    if tasks.smoothness is Smoothness.CONTINUOUS:
        return (
            "the losses have no gradient at their kinks, so no theorem applies; use a smooth loss, "
            "of SVM loss='smooth_hinge'"
        )
    if not tasks.has_hvps:
        return (
            "grad F needs Hessian-vector products of the losses; give the family hvps= or hessians="
        )
    return ""


def _setting(
    tasks: TaskFamily,
    alpha: float,
    start: Array | None,
    switch_tol: float | None,
    tol: float,
    constants: Constants | None,
) -> Setting:
    known = _constants_for(tasks, alpha, start) if constants is None else constants
    return Setting(tasks, alpha, known, start, switch_tol, tol)


def _constants_for(tasks: TaskFamily, alpha: float, start: Array | None) -> Constants:
    """Find constants; where only a region can have them, on a ball that the run should not leave."""
    try:
        return find_constants(tasks)
    except RegionNeeded:
        centre = expected_loss_minimizer(tasks, start)
    origin = np.zeros(tasks.dim) if start is None else start
    if centre is None:
        centre = origin
    gradients = [task_gradients(tasks, w) for w in (centre, origin)]
    moves = max(norm(row) for rows in gradients for row in rows)
    radius = 2.0 * (norm(origin - centre) + alpha * moves)
    if not all_finite(gradients[1]):
        where = "w = 0, where the search for a minimiser begins" if start is None else "w0"
        raise ValueError(
            f"the losses or their gradients are not finite at {where}: pass a w0= inside their domain."
        )
    if not np.isfinite(radius):
        radius = 0.0
    return find_constants(tasks, Ball(centre, radius if radius > 0 else 1.0))


def _uniqueness(setting: Setting) -> Iterator[Certificate]:
    unique = unique_minimum(setting)
    try:
        counted = count_everywhere(setting)
    except (OutOfTime, KeyboardInterrupt):
        yield unique
        raise
    if counted is None:
        yield unique
        return
    yield settle_uniqueness(unique, counted)
    yield critical_points_certificate(counted)


Search = Callable[[Setting], Iterable[Certificate]]


def _one(find: Callable[[Setting], Certificate | None]) -> Search:
    def search(setting: Setting) -> list[Certificate]:
        certificate = find(setting)
        return [] if certificate is None else [certificate]

    return search


# What each search is about, said where it is not made, and the search.
_SEARCHES: list[tuple[dict[str, str], Search]] = [
    (
        {
            "smoothness": "Assumption 3.2: every grad f_i is L-Lipschitz",
            "strong_convexity": "Assumption 3.3, read as Hess f_i >= mu I with mu > 0",
            "gradient_variance": "Assumption 3.4: the task gradients have bounded deviation",
            "lipschitz_hessian": "Assumption 3.5: every Hess f_i is kappa-Lipschitz",
        },
        assumption_certificates,
    ),
    ({"alpha_limits": "alpha is small enough for a unique minimum"}, _one(alpha_certificate)),
    ({"unique_minimum": "F has exactly one critical point, its global minimiser"}, _uniqueness),
    ({"critical_set": "every critical point of F lies near argmin f"}, _one(critical_set)),
    ({"time_bound": "a time by which the MAML flow from w0 is at rest"}, _one(time_certificate)),
    ({"bimaml_time": "the same for the BI-MAML flow"}, _one(bimaml_certificate)),
    ({"iteration_bound": "the same in steps of gradient descent"}, _one(iteration_certificate)),
    ({"step_size_limit": "the largest stable step size"}, _one(step_size_certificate)),
    ({"local_minimum": "F has exactly one critical point in a ball"}, _one(local_minimum)),
    ({"fallback_stationarity": "a time for any alpha"}, _one(fallback_certificate)),
    (
        {
            "descent": "f descends along the MAML flow at w0 up to bias",
            "gradient_transfer": "||grad F|| at w0 is bounded by ||grad f||",
            "hessian_bounds": "the spectrum of Hess F at w0 is bounded",
        },
        point_certificates,
    ),
    ({"moreau_rate": "the rate of the Moreau-envelope flow"}, relatives),
    ({"gradient_identity": "Proposition 3.1 at w0"}, _one(gradient_identity)),
    ({"quadratic_exact": "F is quadratic"}, _one(quadratic_exact)),
]

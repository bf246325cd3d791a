"""``ensemble``: one flow from many starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import (
    Array,
    as_array,
    check_count,
    check_flag,
    check_real,
    real_array,
    shown,
)
from maml_ode.flows import Flow
from maml_ode.flows.variants import (
    has_alpha,
    has_alpha_arrays,
    norm_switches,
    with_alpha,
    with_switch_tol,
)
from maml_ode.integrate.checks import check_has_an_end, check_smoothness, refuse_unused
from maml_ode.integrate.ensembles.judge import judge
from maml_ode.integrate.ensembles.members import Members
from maml_ode.integrate.ensembles.request import OWN_KEYWORDS, Request
from maml_ode.integrate.ensembles.result import Ensemble
from maml_ode.integrate.ensembles.watch import OutOfTime, Watch
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.methods import check_options, resolve
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.times import check_horizon
from maml_ode.stop import StopReason

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = ["ensemble"]


def ensemble(
    flow: Flow,
    W0: npt.ArrayLike,
    *,
    tol: float = 1e-8,
    t_max: float = math.inf,
    method: str | type[OdeSolver] = "auto",
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = 100_000,
    max_seconds: float | None = None,
    threads: int = 1,
    alpha: npt.ArrayLike | None = None,
    switch_tol: npt.ArrayLike | None = None,
    batched: bool | None = None,
    progress: bool = False,
    **options: Any,
) -> Ensemble:
    """Advance one flow from K starts, each until it is stationary or a limit is met.

    Every member is the run that `solve` makes from its start: it has its own steps, its own switch and its own
    stop. With Tsit5 and DOP853 on fields of compiled families, and by the closed form of affine flows of few
    parameters, all members are followed in compiled code, and their numbers are those of `solve` to the last bit;
    with a closed form, of `solve` without diagnostics. All else - SciPy's methods, a user's solvers, families and
    fields in Python, rules of another kind - is one `solve` after another, and so is a member on whose way
    something has to be decided in Python: a norm that hovers or dips, a step that is not possible, stiffness, a
    closed form in which something grows.

    Parameters
    ----------
    flow : Flow
    W0 : array_like of shape (K, d)
        The initial values, one a row; shape (K,) is accepted where d = 1.
    tol, t_max, method, rtol, atol
        As in `solve`.
    max_steps : int
        Limit on accepted steps of each member.
    max_seconds : float, optional
        Limit on wall-clock time of all of them.
    threads : int
        How many threads share the members that are followed in compiled code; the result does not depend on it.
    alpha : array_like of shape (K,), optional
        The inner step size of every member, in the place of the flow's.
    switch_tol : array_like of shape (K,), optional
        The gradient norm at which every member switches, in the place of the flow's.
    batched : bool, optional
        Whether members of dense linear models evaluate their fields together, by products of matrices. Their
        numbers are then those of `solve` to rounding, as the error control passes it on. By default where it is
        faster.
    progress : bool
        Whether to show a progress bar.
    **options
        Handed to the method (``first_step``, ``max_step``, ...).

    Returns
    -------
    Ensemble
        Whatever ended the run: members that were not finished have stop INTERRUPTED or TIME_LIMIT and the state to
        which they had come.

    Raises
    ------
    ValueError
        For starts, inner step sizes or switches of wrong shape, negative or not finite, an inner step size or a
        switch for a flow that has none, and for whatever `solve` refuses.
    TypeError
        For something that is no flow, or an option that the method does not know.

    Warns
    -----
    NonSmoothWarning
        If the field is discontinuous.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([0.5, 0.5], [3.0, 4.0], [1.0, 1.1])
    >>> runs = mo.ensemble(mo.maml_flow(tasks, alpha=0.1), [[-3.0], [0.5], [2.0]])
    >>> runs.success.all(), runs.w.shape
    (np.True_, (3, 1))
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
    starts = _starts(W0, flow.dim)
    alphas = _per_member("alpha", alpha, len(starts))
    switches = _per_member("switch_tol", switch_tol, len(starts), minimum=0.0)
    _check_variants(flow, alphas, switches)
    tol = check_real("tol", tol, minimum=0.0)
    t_max = check_horizon(t_max, 0.0)
    max_steps = check_count("max_steps", max_steps)
    threads = check_count("threads", threads)
    progress = check_flag("progress", progress)
    if batched is not None:
        batched = check_flag("batched", batched)
    if max_seconds is not None:
        max_seconds = check_real("max_seconds", max_seconds, minimum=0.0, strict=True)
    if rtol is not None:
        rtol = check_real("rtol", rtol, minimum=0.0)
    if atol is not None:
        atol = check_real("atol", atol, minimum=0.0, strict=True)
    request = Request(
        flow, starts, tol, t_max, method, rtol, atol, max_steps, alphas, switches, batched, options
    )
    hardest = _check_runs(request)
    if method != "exact":
        check_smoothness(hardest, tol, t_max)
    members = Members(starts, request.most_switches)
    bar = Progress(progress, f"{flow.name}, {len(starts)} members", math.inf, 0.0)
    watch = Watch(members, bar, max_seconds)
    label = method if isinstance(method, str) else method.__name__
    with bar:
        try:
            from maml_ode.integrate.ensembles.routes import follow

            label = follow(request, members, watch, threads)
            watch.look()
        except OutOfTime:
            members.end(members.unfinished, StopReason.TIME_LIMIT, asked_for=False)
        except KeyboardInterrupt:
            members.end(members.unfinished, StopReason.INTERRUPTED, asked_for=False)
    loss, grad_norm = judge(request, members)
    return Ensemble(
        W0=starts,
        w=members.w,
        t=members.t,
        stop=members.stop,
        success=members.success,
        loss=loss,
        grad_norm=grad_norm,
        switch_times=members.switch_times,
        steps=members.steps,
        rejected=members.rejected,
        counts=members.counts,
        elapsed=watch.elapsed,
        method=label,
        flow_name=flow.name,
        identity=flow.identity,
        alpha=alphas,
        switch_tol=switches,
        request=request,
    )


def _starts(W0: npt.ArrayLike, dim: int) -> Array:
    given = real_array("W0", W0)
    if given.ndim == 1 and dim == 1:
        given = given[:, np.newaxis]
    if given.ndim != 2 or given.shape[1] != dim:
        hint = "; write W0[None, :] for a single member" if given.shape == (dim,) else ""
        raise ValueError(
            f"W0 must have shape (K, {dim}), one start a row, but it has shape {given.shape}{hint}."
        )
    if len(given) == 0:
        raise ValueError(f"W0 has shape {given.shape}: an ensemble needs at least one member.")
    return as_array("W0", given)


def _per_member(
    name: str, value: npt.ArrayLike | None, size: int, minimum: float = -math.inf
) -> Array | None:
    if value is None:
        return None
    given = real_array(name, value)
    if given.shape != (size,):
        raise ValueError(
            f"{name} must have shape ({size},), one number for each of the {size} members, but it has shape "
            f"{given.shape}; one that is the same for all of them belongs into the flow."
        )
    array = as_array(name, given)
    for k in np.flatnonzero(array < minimum)[:1]:
        raise ValueError(f"{name} must be at least {minimum:g}, but {name}[{k}] is {array[k]:g}.")
    return array


def _check_variants(flow: Flow, alphas: Array | None, switches: Array | None) -> None:
    """Refuse what a flow does not have, and values that its objectives refuse."""
    if alphas is not None:
        if not has_alpha(flow):
            raise ValueError(
                f"alpha= is an inner step size for each member, but the flow {flow.name!r} takes no inner steps; "
                "leave it out."
            )
        if has_alpha_arrays(flow):
            raise ValueError(
                f"alpha= is one number for each member, but the flow {flow.name!r} has an array alpha; leave "
                "alpha= out, or build the flow with a number."
            )
        with_alpha(flow, float(alphas.min()))  # too small it may be, too large it is for nobody
    if switches is not None:
        found = norm_switches(flow)
        if found != 1:
            how_many = "none of its phases ends" if found == 0 else f"{found} of its phases end"
            raise ValueError(
                f"switch_tol= is the gradient norm at which each member switches, but in the flow {flow.name!r} "
                f"{how_many} at a gradient norm; leave it out."
            )
        with_switch_tol(flow, float(switches.min()))


def _check_runs(request: Request) -> Flow:
    """Refuse, before anything runs, what `solve` would refuse of a member; return the flow of the hardest one."""
    flow = request.flow
    if request.switch_tol is not None:
        flow = with_switch_tol(flow, float(request.switch_tol.min()))
    if request.alpha is not None:  # with an inner step a flow is less smooth than without
        flow = with_alpha(flow, float(request.alpha[np.abs(request.alpha).argmax()]))
    check_has_an_end(flow, request.tol, request.t_max)
    if request.method == "exact":
        reason = why_not_exact(flow)
        if reason is not None:
            raise ValueError(
                f'method="exact" needs affine phases with a closed form, but {reason}; use "auto" or DOP853.'
            )
        refuse_unused(rtol=request.rtol, atol=request.atol, **request.options)
    elif request.method != "auto":
        check_options(resolve(request.method), request.options, OWN_KEYWORDS)
    return flow

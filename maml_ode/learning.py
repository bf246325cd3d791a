"""What training buys: F, and the losses after adaptation, over the passes that were paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._aligned import aligned
from maml_ode._validation import (
    Array,
    as_point,
    check_callable,
    check_real,
    real_array,
    shown,
)
from maml_ode.adaptation import Adaptation, checked_adaptation
from maml_ode.counts import Counts
from maml_ode.flows import Flow
from maml_ode.flows.flow import SwitchRule
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

__all__ = ["LearningCurve", "learning_curve"]

Test = Callable[[Array], Adaptation]
# Options of `solve` that the looks decide.
OWN = ("t_max", "t_eval", "diagnostics", "resume", "sensitivities")
# A time is a multiple of the step size if it is one to rounding.
ROUNDING = 1e-9
# Beyond, not every integer is a double.
MOST_STEPS = 2.0**53


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A run looked at now and then.

    Attributes
    ----------
    t : ndarray of shape (n,)
        The times at which it was looked at, the start first.
    passes : ndarray of shape (n,)
        What had been paid until then, in gradient passes over all tasks.
    loss : ndarray of shape (n,)
        F; NaN where Ctrl-C came before it.
    w : ndarray of shape (d, n)
        The states.
    tests : tuple of Adaptation
        What ``test`` gave for each of them; empty without one, and shorter after Ctrl-C.
    run : Trajectory
        The last piece of the run; of a flow, the whole.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> curve = mo.learning_curve(mo.maml_flow(tasks, 0.1), [10.0], [1.0, 2.0])
    >>> curve.t
    array([0., 1., 2.])
    >>> bool((curve.loss[1:] < curve.loss[:-1]).all())
    True
    """

    t: Array
    passes: Array
    loss: Array
    w: Array
    tests: tuple[Adaptation, ...]
    run: Trajectory

    @property
    def adapted(self) -> Array:
        """The mean losses of the tests after 0, 1, ... inner steps, shape (n, steps + 1); NaN for those missing.

        Raises
        ------
        ValueError
            If nothing was tested.
        """
        if not self.tests:
            raise ValueError("nothing was tested; pass test=, a function of w, to learning_curve.")
        rows = np.array([one.mean for one in self.tests])
        return np.pad(rows, ((0, self.t.size - len(rows)), (0, 0)), constant_values=np.nan)

    def to_dict(self) -> dict[str, Array]:
        """Return t, passes, loss and, of tests, adapted: a row's worth for `maml_ode.sweep`."""
        row = {"t": self.t, "passes": self.passes, "loss": self.loss}
        return row | {"adapted": self.adapted} if self.tests else row

    def table(self) -> str:
        """Return aligned columns, one line a look; of the tests the losses before and after all steps."""
        columns = [("t", self.t), ("passes", self.passes), ("F", self.loss)]
        if self.tests:
            columns += [("before", self.adapted[:, 0]), ("adapted", self.adapted[:, -1])]
        texts = [[f"{x:.6g}" for x in line] for line in zip(*(c for _, c in columns), strict=True)]
        return aligned([name for name, _ in columns], texts)

    def __repr__(self) -> str:
        return (
            f"LearningCurve({self.run.flow_name} to t = {self.t[-1]:g}: F {self.loss[0]:.6g} -> "
            f"{self.loss[-1]:.6g} in {self.passes[-1]:g} passes)"
        )


def learning_curve(
    flow: Flow,
    w0: npt.ArrayLike,
    times: npt.ArrayLike | Iterable[float],
    *,
    step_size: float | None = None,
    tasks_per_step: int | None = None,
    rng: np.random.Generator | int | None = None,
    test: Test | None = None,
    hvp: float = 1.0,
    **options: Any,
) -> LearningCurve:
    """Run a flow, or with a step size its algorithm, and look at F and at a test on the way.

    What the looks cost is not counted among the passes; but where a phase ends by a rule, an algorithm asks it
    once more after each of them.

    Parameters
    ----------
    flow : Flow
        For an algorithm, with phases in their order and a one-way switch.
    w0 : array_like of shape (d,)
    times : array_like of shape (n,)
        When to look after the start, increasing; for an algorithm, multiples of the step size.
    step_size : float, optional
        Run `maml_ode.euler` with it in the place of `maml_ode.solve`.
    tasks_per_step, rng
        As in `maml_ode.euler`; the draws go on from look to look.
    test : callable, optional
        ``test(w)`` -> `Adaptation`, such as ``lambda w: mo.meta_test(w, unseen, alpha)``.
    hvp : float
        What a Hessian-vector product costs in gradients (`Counts.gradient_equivalents`).
    **options
        Of `maml_ode.solve`, such as ``method`` and ``rtol``.

    Returns
    -------
    LearningCurve
        Shorter than asked for where the run ended before; after Ctrl-C, with what was reached.

    Raises
    ------
    ValueError, TypeError
        For times that do not increase or are no multiples of the step size, and what the runs themselves refuse.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> curve = mo.learning_curve(problem.maml_flow(), problem.w0, [1.0, 2.0, 4.0], step_size=0.1)
    >>> curve.passes
    array([  0.,  30.,  60., 120.])
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
    from maml_ode.integrate.euler_verb import warn_if_unstable

    at = _checked_times(times)
    if test is not None:
        check_callable("test", test, "test(w) -> Adaptation")
    start = as_point("w0", w0, flow.dim)
    hvp = check_real("hvp", hvp, minimum=0.0)
    for name in OWN:
        if name in options:
            raise TypeError(
                f"{name} follows from the times at which the run is looked at; leave it out."
            )
    if step_size is None:
        for name, value in (("tasks_per_step", tasks_per_step), ("rng", rng)):
            if value is not None:
                raise TypeError(f"{name} is the algorithm's; pass step_size= too.")
        pieces = _of_the_flow(flow, start, at, options)
    else:
        if options:
            raise TypeError(f"{next(iter(options))} is an option of the flow; leave step_size out.")
        h = check_real("step_size", step_size, minimum=0.0, strict=True)
        warn_if_unstable(flow, h)
        pieces = _of_the_algorithm(flow, start, at, h, tasks_per_step, rng)
    last: Trajectory | None = None
    looks: list[tuple[float, float, Array]] = [(0.0, 0.0, start)]
    tests: list[Adaptation] = []
    try:
        for last, counts in pieces:
            paid = counts.gradient_equivalents(hvp, hessian=float(flow.dim))
            looks.append((last.final_time, paid, last.final_state))
    except KeyboardInterrupt:
        if last is None:
            raise
    if last is None:
        raise RuntimeError("no run was made; this is a defect of maml_ode.")
    t, passes, states = map(np.array, zip(*looks, strict=True))
    loss = np.full(t.size, np.nan)
    with suppress(KeyboardInterrupt), np.errstate(over="ignore", invalid="ignore"):
        for k, w in enumerate(states):
            loss[k] = flow.objective.value(w)
            if test is not None:
                tests.append(_tested(test, w))
    return LearningCurve(t, passes, loss, states.T, tuple(tests), last)


Piece = tuple[Trajectory, Counts]


def _of_the_flow(flow: Flow, w0: Array, at: Array, options: dict[str, Any]) -> Iterable[Piece]:
    from maml_ode.integrate import solve

    run = None
    for t in at:
        where: dict[str, Any] = {"w0": w0} if run is None else {"resume": run}
        run = solve(flow, t_max=float(t), diagnostics=False, **where, **options)
        yield run, run.counts
        if run.final_time < t:
            return


def _of_the_algorithm(
    flow: Flow, w0: Array, at: Array, h: float, size: int | None, rng: Any
) -> Iterable[Piece]:
    from maml_ode.integrate.euler_verb import Iterate, iterate, task_sampler

    with np.errstate(over="ignore"):
        looks = np.rint(at / h)
    if not looks[-1] < MOST_STEPS:
        raise ValueError(
            f"times of up to {at[-1]:g} are {looks[-1]:.3g} iterations of {h:g}, more than can be counted; use a "
            "larger step_size."
        )
    if (np.abs(looks * h - at) > ROUNDING * at).any() or (np.diff(looks, prepend=0.0) < 1).any():
        raise ValueError(
            f"times must be multiples of step_size = {h:g}, an iteration or more apart."
        )
    if flow.rule is not SwitchRule.ONE_WAY or flow.re_entrant:
        raise ValueError(
            "an algorithm is looked at between its runs, so its flow must go through its phases once, in their "
            'order; use rule="one_way", or mo.euler with record_every=.'
        )
    sampler = task_sampler(flow, size, rng)
    now, total = Iterate(0, flow.legs[0].field.lift(w0), None), Counts()
    for k in looks.astype(int).tolist():
        # All that the algorithm carries is taken along: a velocity, the time that a rule looks at.
        run = iterate(flow, now, h, sampler, max_iter=k, record_every=k)
        total = total + run.counts
        yield run, total
        if run.stop is not StopReason.STEP_LIMIT:
            return
        now = Iterate(k, run.final_z, run.final_phase)


def _checked_times(times: Any) -> Array:
    if isinstance(times, Iterable) and not hasattr(times, "__array__"):
        times = list(times)
    at = real_array("times", times)
    at = np.array(at, dtype=np.float64)
    if at.ndim != 1 or at.size == 0:
        raise ValueError(
            f"times must have shape (n,) with n at least 1, but it has shape {at.shape}."
        )
    if not np.isfinite(at).all() or at[0] <= 0 or (np.diff(at) <= 0).any():
        raise ValueError("times must be finite, above 0 and increasing.")
    return at


def _tested(test: Test, w: Array) -> Adaptation:
    return checked_adaptation(test(w.copy()), "what test returns")

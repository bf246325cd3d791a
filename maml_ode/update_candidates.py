"""The directions of meta-learning algorithms, right and wrong, that a training step may follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.flows.fields import VectorField
from maml_ode.flows.inner_step_fields import FirstOrderField, ReptileField
from maml_ode.objectives import ExpectedLoss, MAMLLoss
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.step_sizes import of_steps
from maml_ode.tasks.base import TaskFamily

__all__ = ["Direction", "candidates", "variants"]

Direction = Callable[[Array], Array]


def candidates(
    tasks: TaskFamily, alpha: npt.ArrayLike, inner_steps: int, query: TaskFamily | None
) -> dict[str, Direction]:
    """Return the directions that have a name; MAML only for a family with Hessian-vector products."""
    named: dict[str, Direction] = {
        "FO-MAML": _against(FirstOrderField(tasks, alpha, inner_steps, query)),
        "Reptile": _against(ReptileField(tasks, alpha, inner_steps)),
        "joint": ExpectedLoss(tasks).gradient,
    }
    if not tasks.has_hvps:
        return named
    return {"MAML": MAMLLoss(tasks, alpha, inner_steps, query).gradient, **named}


def variants(
    tasks: TaskFamily, alpha: npt.ArrayLike, inner_steps: int, query: TaskFamily | None
) -> Iterator[tuple[str, Direction]]:
    """Yield what loops follow by mistake, the likeliest first, in words that go after "It is"."""
    judge = tasks if query is None else query

    def both(
        steps: int, outer: TaskFamily | None, inner: TaskFamily, words: str
    ) -> Iterator[tuple[str, Direction]]:
        for name, direction in candidates(inner, alpha, steps, outer).items():
            if name in ("MAML", "FO-MAML"):
                yield f"{name} {words}", direction

    if query is not None:
        yield from both(
            inner_steps, None, tasks, "judged by the support losses instead of the query losses"
        )
        yield from both(
            inner_steps, query, query, "whose inner steps are taken on the query losses"
        )
        yield "joint training on the query losses", ExpectedLoss(query).gradient
    by_step = np.ndim(alpha) == 3 and np.shape(alpha)[0] > 1  # which fits no other number of steps
    for steps in (inner_steps + 1, inner_steps - 1):
        if steps >= 1 and not by_step:
            words = f"with {steps} inner step{'s' * (steps > 1)} instead of {inner_steps}"
            yield from both(steps, query, tasks, words)
            yield f"Reptile {words}", _against(ReptileField(tasks, alpha, steps))
    if np.ptp(tasks.weights) > 0.0:
        equal = "with equal weights instead of the family's"
        yield from (
            (f"{name} {equal}", direction)
            for name, direction in _equally_weighted(tasks, judge, alpha, inner_steps).items()
        )


def _against(field: VectorField) -> Direction:
    return lambda w: -field(w)


def _equally_weighted(
    tasks: TaskFamily, judge: TaskFamily, alpha: npt.ArrayLike, inner_steps: int
) -> dict[str, Direction]:
    sizes = of_steps(InnerSteps.checked(tasks, alpha, inner_steps, None).alpha, inner_steps)

    def path(w: Array) -> list[Array]:
        points = [np.tile(w, (tasks.n_tasks, 1))]
        for size in sizes:
            points.append(points[-1] - size * tasks.gradients(points[-1]))
        return points

    def first_order(w: Array) -> Array:
        return np.asarray(judge.gradients(path(w)[-1]).mean(axis=0))

    def maml(w: Array) -> Array:
        points = path(w)
        adjoint = judge.gradients(points[-1])
        for u, size in zip(reversed(points[:-1]), reversed(sizes), strict=True):
            adjoint = adjoint - tasks.hvps(u, size * adjoint)
        return np.asarray(adjoint.mean(axis=0))

    def joint(w: Array) -> Array:
        return np.asarray(tasks.gradients(w).mean(axis=0))

    named: dict[str, Direction] = {"FO-MAML": first_order, "joint training": joint}
    return {"MAML": maml, **named} if tasks.has_hvps else named

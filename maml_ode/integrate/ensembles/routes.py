"""Which members of an ensemble are followed in which way, by which method and at which tolerances."""

from __future__ import annotations

import numpy as np

from maml_ode.flows import Flow
from maml_ode.integrate.checks import check_reachable
from maml_ode.integrate.ensembles.by_compiled_loop import CompiledLoop, has_compiled_loop
from maml_ode.integrate.ensembles.by_formula import ByFormula, has_formula
from maml_ode.integrate.ensembles.by_solve import follow_by_solve
from maml_ode.integrate.ensembles.in_blocks import InBlocks, has_blocks, pays_in_blocks
from maml_ode.integrate.ensembles.members import Indices, Members
from maml_ode.integrate.ensembles.request import OWN_KEYWORDS, Request
from maml_ode.integrate.ensembles.watch import Watch
from maml_ode.integrate.methods import (
    Choice,
    check_options,
    choose,
    facts_of,
    resolve,
    stiff_method,
)
from maml_ode.integrate.plan import Plan, Tolerances
from maml_ode.integrate.tally import Tally

__all__ = ["follow"]


def follow(request: Request, members: Members, watch: Watch, threads: int) -> str:
    """Follow all members to their ends; return what the ensemble calls its method.

    Raises
    ------
    KeyboardInterrupt, OutOfTime
        When a key or the time limit ends the ensemble; every member keeps what it has.
    """
    left: list[Indices] = []
    labels: dict[str, None] = {}
    for which, flow in request.groups():
        looks: dict[int, Tally] = {}
        for choice, chosen in _choices(request, which, flow, looks):
            labels.setdefault(choice.label)
            if choice.method == "exact" and has_formula(flow):
                left.append(ByFormula(request, members, watch).follow(chosen, flow))
                continue
            plan = _plan(request, flow, choice)
            if plan is None or not has_compiled_loop(flow, plan):
                left.append(chosen)
                continue
            in_blocks = has_blocks(flow) and request.batched is not False
            if in_blocks and request.batched is None:
                in_blocks = pays_in_blocks(flow, chosen.size)
            route = InBlocks if in_blocks else CompiledLoop
            loop = route(request, members, watch, threads)
            left.append(loop.follow(chosen, flow, plan, looks))
    rest = np.sort(np.concatenate(left))
    follow_by_solve(request, members, rest.tolist(), watch)
    return "; ".join(labels)


def _choices(
    request: Request, which: Indices, flow: Flow, looks: dict[int, Tally]
) -> list[tuple[Choice, Indices]]:
    """Return the methods of a group of members; only "auto" up to a horizon looks at where each begins.

    What its looks have cost is left in ``looks``.
    """
    known: dict[object, Choice] = {}
    chosen: dict[object, list[int]] = {}
    alike = request.method != "auto" or not request.has_horizon
    for k in map(int, which[:1] if alike else which):
        own = flow if alike else request.flow_of(k)
        looks[k] = Tally()
        choice = choose(
            own, request.method, request.W0[k], tol=request.tol, horizon=request.t_max,
            stepping=request.asks_for_steps, tally=looks[k],
        )  # fmt: skip
        known.setdefault(choice.method, choice)
        chosen.setdefault(choice.method, []).append(k)
    if alike:
        return [(choice, which) for choice in known.values()]
    return [(known[method], np.array(those)) for method, those in chosen.items()]


def _plan(request: Request, flow: Flow, choice: Choice) -> Plan | None:
    """Return the plan by which members step, None where they do not."""
    if choice.method == "exact":
        return None
    solver = resolve(choice.method)
    check_options(solver, request.options, OWN_KEYWORDS)
    tolerances = Tolerances.choose(flow, request.tol, request.rtol, request.atol)
    check_reachable(flow, solver, request.tol, tolerances)
    watch = request.method == "auto" and facts_of(solver).explicit and not request.options
    return Plan(
        solver,
        tolerances,
        request.t_max,
        request.max_steps,
        request.options,
        stiff_method=resolve(stiff_method(flow)) if watch else None,
    )

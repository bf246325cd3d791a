"""Members one after another, each by a run of its own: the route of whatever has no faster one."""

from __future__ import annotations

from collections.abc import Iterable

from maml_ode.integrate.ensembles.members import Members
from maml_ode.integrate.ensembles.request import Request
from maml_ode.integrate.ensembles.watch import OutOfTime, Watch
from maml_ode.stop import StopReason

__all__ = ["follow_by_solve"]


def follow_by_solve(request: Request, members: Members, which: Iterable[int], watch: Watch) -> None:
    """Run members by `solve`.

    Raises
    ------
    KeyboardInterrupt, OutOfTime
        When a key or the time limit ends the ensemble; the member that was running keeps what it has.
    """
    for k in which:
        watch.look()
        run = request.run(int(k), diagnostics=False, max_seconds=watch.seconds_left)
        members.take(int(k), run)
        if run.stop is StopReason.INTERRUPTED:
            raise KeyboardInterrupt
        if run.stop is StopReason.TIME_LIMIT:
            raise OutOfTime

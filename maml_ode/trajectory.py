"""What both verbs return: a trajectory with its stop reason and its costs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._archive import Archive
from maml_ode._html import html_table
from maml_ode._schema import (
    EACH,
    Column,
    Value,
    count,
    flag,
    number,
    one_of,
    or_none,
    record,
    text,
)
from maml_ode._validation import Array
from maml_ode.counts import KINDS, Counts
from maml_ode.energy import EnergyLedger
from maml_ode.sensitivity import COLUMNS as DERIVATIVES
from maml_ode.sensitivity import SINGLE, Sensitivity, flattened, gathered, names_of_parameters
from maml_ode.stop import StopReason

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Counts", "StopReason", "Trajectory"]


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """A path of a flow, continuous (`solve`) or discrete (`euler`), with what it cost.

    The names of SciPy mean what they mean in ``scipy.integrate.solve_ivp``.

    Attributes
    ----------
    t : ndarray of shape (n,)
        Times; k * step_size for the discrete algorithms. Both ends are included.
    y : ndarray of shape (d, n)
        States, one a column.
    loss, grad_norm : ndarray of shape (n,)
        F and ||grad F||, F being the flow's objective; read-only NaN if ``diagnostics=False``.
    task_loss, task_grad_norm : ndarray of shape (n,)
        f and ||grad f||, f being the expected task loss.
    phase : ndarray of int, shape (n,)
        The phase in force at each state; at a switch, the new one.
    switch_times : ndarray of shape (s,)
    switch_states : ndarray of shape (s, d)
    stop : StopReason
    message : str
        The stop reason with its numbers.
    success : bool
        Whether what was asked for was reached.
    status : int
        1: a stopping rule fired; 0: the horizon or the number of steps asked for was reached; -1: failure.
    counts : Counts
        What the run cost, diagnostics apart.
    nfev, njev, nlu : int
        Evaluations of the field and of its Jacobian, and LU decompositions.
    elapsed : float
        Wall-clock seconds, diagnostics included.
    method : str
        The integrator, with the reason where ``method="auto"`` chose it.
    flow_name : str
    energy : EnergyLedger or None
        Rises of each gradient phase's own objective, and what was dissipated if it was asked for.
    step_size : float or None
        For the discrete algorithms.
    t_events, y_events : list of ndarray
        Per phase with an ending rule, the times (k,) and states (k, d) at which it was met.
    identity : str or None
        A digest of the flow's fields, rules, alpha, weights and data, by which `solve` knows whether
        ``resume=`` goes on with the same flow; None where that cannot be told of a function in it.
    sol : callable or None
        ``sol(t)``, shape (m,), with ``dense_output=True``; not saved by `save`.
    sensitivities : dict of str to Sensitivity, or None
        What the run was differentiated by, with ``solve(..., sensitivities=names)``.
    final_state : ndarray of shape (d,)
        The state in which the run ended, also when ``t_eval`` ends before it.
    final_time : float
    final_phase : int or None
        The phase in force at the end, with which ``solve(flow, resume=run)`` goes on.
    lifted_y : ndarray of shape (m, n) or None
        The whole states of a lifted flow, such as (w, v) of momentum, padded with zeros in phases with a shorter
        one: ``z``, which is ``y`` for all other flows.
    lifted_final_state : ndarray or None
        The whole state in which a run of a lifted flow ended, in its own length: ``final_z``.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> run = mo.solve(problem.bimaml_flow(), problem.w0, t_max=5.0)
    >>> run.y.shape[0], run.stop.name, run.success
    (8, 'HORIZON', True)
    >>> float(run.loss[-1]) < float(run.loss[0])
    True
    >>> run.switch_times.round(4)
    array([2.7383])
    """

    t: Array
    y: Array
    loss: Array
    task_loss: Array
    grad_norm: Array
    task_grad_norm: Array
    phase: npt.NDArray[np.int64]
    switch_times: Array
    switch_states: Array
    stop: StopReason
    message: str
    success: bool
    status: int
    counts: Counts
    nfev: int
    njev: int
    nlu: int
    elapsed: float
    method: str
    flow_name: str
    final_state: Array
    final_time: float
    final_phase: int | None = None
    identity: str | None = None
    energy: EnergyLedger | None = None
    step_size: float | None = None
    t_events: list[Array] = field(default_factory=list)
    y_events: list[Array] = field(default_factory=list)
    sol: Callable[[npt.ArrayLike], Array] | None = None
    sensitivities: dict[str, Sensitivity] | None = None
    lifted_y: Array | None = None
    lifted_final_state: Array | None = None

    @property
    def z(self) -> Array:
        """The whole states, shape (m, n): those of a lifted flow, else ``y``."""
        return self.y if self.lifted_y is None else self.lifted_y

    @property
    def final_z(self) -> Array:
        """The whole state in which the run ended."""
        return self.final_state if self.lifted_final_state is None else self.lifted_final_state

    @property
    def w(self) -> Array:
        """The last state, shape (d,)."""
        return self.final_state

    def __len__(self) -> int:
        return int(self.t.size)

    def __repr__(self) -> str:
        return (
            f"Trajectory({self.flow_name} by {self.method}: d = {self.y.shape[0]}, {self.t.size} points, "
            f"t in [0, {self.final_time:.6g}], {self.stop.name}, {_rounded(self.counts.gradients)} gradient and "
            f"{_rounded(self.counts.hvps)} HVP passes)"
        )

    def _repr_html_(self) -> str:
        """Return what a reader asks of a run, as a table."""
        switches = ", ".join(f"{t:.6g}" for t in self.switch_times)
        rows = [
            ("flow", self.flow_name),
            ("method", self.method),
            ("ended", self.message),
            (
                "points",
                f"{self.t.size} of dimension {self.y.shape[0]}, t in [0, {self.final_time:.6g}]",
            ),
            ("switched at t =", switches or "no switch"),
            ("last loss F", float(self.loss[-1]) if self.loss.size else None),
            ("last ||grad F||", float(self.grad_norm[-1]) if self.grad_norm.size else None),
            ("counts", str(self.counts)),
            ("seconds", self.elapsed),
        ]
        return html_table(rows)

    def plot(self, ax: Axes | None = None, **kw: Any) -> Any:
        """Draw the loss and the gradient norm; see `maml_ode.plotting.plot_trajectory`."""
        from maml_ode.plotting import plot_trajectory

        return plot_trajectory(self, ax=ax, **kw)

    def to_dict(self) -> dict[str, Any]:
        """Return every field but ``sol``: arrays as arrays, the rest as plain Python objects."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sol"}
        plain["stop"] = self.stop.name
        plain["counts"] = self.counts.to_dict()
        plain["energy"] = None if self.energy is None else self.energy.to_dict()
        if self.sensitivities is not None:
            plain["sensitivities"] = {
                name: dict(vars(found)) for name, found in self.sensitivities.items()
            }
        return plain

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per time: t, phase, F, f, their gradient norms, and w[0], ..., w[d-1].

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "to_dataframe needs pandas; install it with pip install 'maml_ode[pandas]', or use "
                "to_dict()."
            ) from None
        columns: dict[str, Any] = {"t": self.t, "phase": self.phase}
        columns |= {name: getattr(self, name) for name in SERIES}
        columns |= {f"w[{j}]": row for j, row in enumerate(self.y)}
        return pd.DataFrame(columns)

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the trajectory to an ``.npz`` file without pickles; ``sol`` is left out.

        ``.npz`` is appended to a path without that ending, as ``numpy.savez`` does. A file that was there
        is replaced when the new one is complete, and stays as it was if that fails.

        Parameters
        ----------
        path : path-like, or file open for writing bytes

        Raises
        ------
        ValueError
            If the fields contradict each other, so that `load` would refuse them.
        OSError
            If the file cannot be written.
        """
        derivatives = flattened(self.sensitivities)
        own = {name: getattr(self, name) for name in (*HEADER, *COLUMNS) if name not in derivatives}
        SAVED.write(path, own | derivatives)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | IO[bytes]) -> Trajectory:
        """Read what `save` wrote; like `save`, it appends ``.npz`` if there is no file of the bare name.

        No code in a file is run, whoever wrote it, and everything in it is checked.

        Parameters
        ----------
        path : path-like, or file open for reading bytes

        Raises
        ------
        ValueError
            If the file is damaged or is not a trajectory of this format.
        OSError
            If there is no such file, or it cannot be read.
        """
        values = SAVED.read(path)
        sensitivities = gathered(values)
        return cls(**values, sensitivities=sensitivities)


SERIES = ("loss", "task_loss", "grad_norm", "task_grad_norm")


def _increases(times: Array) -> bool:
    return bool((times[1:] > times[:-1]).all()) and not np.isnan(times).any()


def _is_a_number(plain: Any) -> float:
    if (value := number(plain)) != value:
        raise ValueError("a number, not NaN")
    return value


def _rounded(passes: int | float) -> str:
    return str(passes) if isinstance(passes, int) else f"{passes:.2f}"


def _passes(plain: Any) -> int | float:
    """Return a count, or the fraction of one that some of the tasks make up."""
    if isinstance(plain, float) and plain > 0 and math.isfinite(plain):
        return plain
    return count(plain)


def _counts(plain: Any) -> Counts:
    kinds = {**dict.fromkeys(KINDS, count), "gradients": _passes, "hvps": _passes}
    counted: Counts = record(
        Counts,
        {kind: kinds[kind] for kind in FIRST_KINDS} | {"diagnostics": or_none(_counts)},
        kinds,
    )(plain)
    return counted


def _phases_exist(values: Mapping[str, Any]) -> bool:
    """Whether no phase is beyond the one that follows all those with an ending rule."""
    numbers = [*values["phase"], values["final_phase"] or 0]
    return bool(min(numbers) >= 0 and max(numbers) <= len(values["t_events"]))


# The format's first version had these kinds of counts; later ones are 0 in its files.
FIRST_KINDS = (
    "losses", "gradients", "hvps", "hessians", "thirds", "third_vectors", "factorizations", "steps",
    "rejected",
)  # fmt: skip
HEADER = {
    "stop": Value(one_of(StopReason.__members__), lambda stop: stop.name),
    "message": Value(text),
    "success": Value(flag),
    "status": Value(one_of({-1: -1, 0: 0, 1: 1})),
    "counts": Value(_counts, Counts.to_dict),
    "nfev": Value(count),
    "njev": Value(count),
    "nlu": Value(count),
    "elapsed": Value(_is_a_number),
    "method": Value(text),
    "flow_name": Value(text),
    "final_time": Value(_is_a_number),
    "final_phase": Value(or_none(count)),
    "energy": Value(
        or_none(
            record(
                EnergyLedger,
                {
                    "rises": count,
                    "largest_rise": number,
                    "drop": number,
                    "dissipated": or_none(number),
                },
            )
        ),
        lambda energy: None if energy is None else energy.to_dict(),
    ),
    "step_size": Value(or_none(_is_a_number)),
    "identity": Value(or_none(text), default=None),
    SINGLE: Value(names_of_parameters, default=[]),
}
# Lengths: n points, d parameters, s switches. An optional field of a later version has a default here.
COLUMNS = {
    "t": Column(("n",), must="increase", holds=_increases),
    "final_state": Column(("d",)),
    "y": Column(("d", "n")),
    **{name: Column(("n",)) for name in SERIES},
    "phase": Column(("n",), kind="i"),
    "switch_times": Column(("s",)),
    "switch_states": Column(("s", "d")),
    "t_events": Column((EACH,), listed=True),
    "y_events": Column((EACH, "d"), listed=True),
    **DERIVATIVES,
    "lifted_y": Column(("m", "n"), default=None),
    "lifted_final_state": Column(("e",), default=None),
}
SAVED = Archive(
    "Trajectory",
    "maml_ode trajectory 1",
    HEADER,
    COLUMNS,
    {"it names a phase that does not exist": _phases_exist},
)

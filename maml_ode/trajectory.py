"""What both verbs return: a trajectory with its stop reason and its costs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.energy import EnergyLedger
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
        F and ||grad F||, F being the flow's objective; NaN if ``diagnostics=False``.
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
        ``resume=`` goes on with the same flow; None where a Python function is part of it.
    sol : callable or None
        ``sol(t)`` with ``dense_output=True``; not saved by `save`.
    final_state : ndarray of shape (d,)
        The state in which the run ended, also when ``t_eval`` ends before it.
    final_time : float
    final_phase : int or None
        The phase in force at the end, with which ``solve(flow, resume=run)`` goes on.
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

    @property
    def w(self) -> Array:
        """The last state, shape (d,)."""
        return self.final_state

    def __len__(self) -> int:
        return int(self.t.size)

    def __repr__(self) -> str:
        return (
            f"Trajectory({self.flow_name} by {self.method}: d = {self.y.shape[0]}, {self.t.size} points, "
            f"t in [0, {self.final_time:.6g}], {self.stop.name}, {self.counts.gradients} gradient and "
            f"{self.counts.hvps} HVP passes)"
        )

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trajectory to an ``.npz`` file without pickles; ``sol`` is left out.

        ``.npz`` is appended to a path without that ending, as ``numpy.savez`` does.
        """
        arrays = {name: getattr(self, name) for name in ARRAYS}
        for k, (times, states) in enumerate(zip(self.t_events, self.y_events, strict=True)):
            arrays[f"t_events_{k}"], arrays[f"y_events_{k}"] = times, states
        plain = {
            name: value
            for name, value in self.to_dict().items()
            if name not in ARRAYS and name not in ("t_events", "y_events")
        }
        plain["format"], plain["n_events"] = FORMAT, len(self.t_events)
        np.savez_compressed(os.fspath(path), header=np.array(json.dumps(plain)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trajectory:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is not a trajectory of this format.
        """
        with np.load(os.fspath(path), allow_pickle=False) as archive:
            if "header" not in archive.files:
                raise ValueError(f"{os.fspath(path)} is not a saved Trajectory: it has no header.")
            plain = json.loads(str(archive["header"]))
            if plain.pop("format", None) != FORMAT:
                raise ValueError(
                    f"{os.fspath(path)} has another format than {FORMAT!r}; load it with the version of "
                    "maml_ode that wrote it."
                )
            n_events = plain.pop("n_events")
            arrays = {name: archive[name] for name in ARRAYS}
            t_events = [archive[f"t_events_{k}"] for k in range(n_events)]
            y_events = [archive[f"y_events_{k}"] for k in range(n_events)]
        plain["stop"] = StopReason[plain["stop"]]
        plain["counts"] = Counts.from_dict(plain["counts"])
        if plain["energy"] is not None:
            plain["energy"] = EnergyLedger(**plain["energy"])
        return cls(**plain, **arrays, t_events=t_events, y_events=y_events)


FORMAT = "maml_ode trajectory 1"
SERIES = ("loss", "task_loss", "grad_norm", "task_grad_norm")
ARRAYS = ("t", "y", *SERIES, "phase", "switch_times", "switch_states", "final_state")

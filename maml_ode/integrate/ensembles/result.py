"""What ``ensemble`` returns: the ends of many runs, side by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._archive import Archive
from maml_ode._html import html_table
from maml_ode._schema import Column, Value, count, number, or_none, record, text
from maml_ode._validation import Array, check_count, check_real
from maml_ode.counts import KINDS, Counts
from maml_ode.integrate.ensembles.basins import clusters
from maml_ode.integrate.ensembles.request import Request
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Ensemble"]


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """The ends of K runs of one flow, and what they cost together.

    Attributes
    ----------
    W0, w : ndarray of shape (K, d)
        Where the members began, and their last states.
    t : ndarray of shape (K,)
        The times to which they came.
    stop : ndarray of object, shape (K,)
        The `StopReason` of each.
    success : ndarray of bool, shape (K,)
        Whether what was asked for was reached.
    loss, grad_norm : ndarray of shape (K,)
        F and ||grad F|| at the last states, F being each member's own objective.
    switch_times : ndarray of shape (K, s)
        NaN from a member's last switch on.
    steps, rejected : ndarray of int, shape (K,)
        Accepted and rejected steps of each member.
    counts : Counts
        What the runs cost in total. A member that could not be followed with the others, and was run by itself,
        counts as that run.
    elapsed : float
        Wall-clock seconds.
    method, flow_name : str
    identity : str or None
        The flow's digest, as in `Trajectory`.
    alpha, switch_tol : ndarray of shape (K,), or None
        What differed from member to member.

    Examples
    --------
    >>> import maml_ode as mo
    >>> import numpy as np
    >>> problem = mo.experiments.load("figure1")
    >>> runs = mo.ensemble(problem.maml_flow(), np.linspace(0.2, 0.5, 7)[:, None], tol=1e-8)
    >>> len(runs), bool(runs.success.all())
    (7, True)
    >>> runs.basins(1e-3)
    array([0, 0, 0, 1, 2, 3, 3])
    >>> runs.member(3).success
    True
    """

    W0: Array
    w: Array
    t: Array
    stop: npt.NDArray[np.object_]
    success: npt.NDArray[np.bool_]
    loss: Array
    grad_norm: Array
    switch_times: Array
    steps: npt.NDArray[np.int64]
    rejected: npt.NDArray[np.int64]
    counts: Counts
    elapsed: float
    method: str
    flow_name: str
    identity: str | None = None
    alpha: Array | None = None
    switch_tol: Array | None = None
    request: Request | None = field(default=None)

    def __len__(self) -> int:
        return len(self.w)

    def _repr_html_(self) -> str:
        """Return what a reader asks of an ensemble, as a table."""
        best = np.nanmin(self.loss) if np.isfinite(self.loss).any() else None
        rows = [
            ("flow", self.flow_name),
            ("method", self.method),
            ("members", f"{len(self)} of dimension {self.w.shape[1]}"),
            ("ended", self._ends()),
            ("lowest loss F", None if best is None else float(best)),
            ("gradients, HVPs", f"{self.counts.gradients}, {self.counts.hvps}"),
            ("steps, rejected", f"{self.counts.steps}, {self.counts.rejected}"),
            ("seconds", self.elapsed),
        ]
        return html_table(rows, caption="Ensemble")

    def _ends(self) -> str:
        """Say how many ended for which reason."""
        ends = Counter(reason.name for reason in self.stop)
        return ", ".join(f"{many} {name}" for name, many in ends.most_common())

    def __repr__(self) -> str:
        size = f"K = {len(self)}, d = {self.w.shape[1]}"
        return f"Ensemble({self.flow_name} by {self.method}: {size}; {self._ends()})"

    def member(self, k: int) -> Trajectory:
        """Return the run of member ``k``, as `solve` makes it with the same arguments.

        Raises
        ------
        ValueError
            If there is no such member, or if the ensemble was loaded from a file, which holds no flow.
        """
        if isinstance(k, (int, np.integer)) and -len(self) <= k < 0:
            k = k + len(self)
        k = check_count("k", k, minimum=0)
        if k >= len(self):
            raise ValueError(f"k must be below {len(self)}, the number of members, but it is {k}.")
        if self.request is None:
            raise ValueError(
                "this ensemble was loaded from a file, which holds no flow; run the member by "
                f"mo.solve(flow, runs.W0[{k}], ...) with the arguments of the ensemble."
            )
        return self.request.run(k)

    def basins(self, atol: float) -> npt.NDArray[np.int64]:
        """Return a label for each member, equal for those that end in the same place.

        The ends of successful members belong together where they are linked by others of them at distances of at
        most ``atol``; labels count from 0 in the order of the members. All other members have label -1.

        Parameters
        ----------
        atol : float
            A Euclidean distance: well above what ``tol`` leaves of the way to a stationary point, about tol/mu,
            and below the distance of two of them.
        """
        atol = check_real("atol", atol, minimum=0.0)
        labels = np.full(len(self), -1, dtype=np.int64)
        ended = np.flatnonzero(self.success)
        labels[ended] = clusters(self.w[ended], atol)
        return labels

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per member: its start, its end, and how it went.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "to_dataframe needs pandas; install it with pip install 'maml_ode[pandas]', or use the "
                "ensemble's arrays."
            ) from None
        columns: dict[str, Any] = {"t": self.t, "stop": [reason.name for reason in self.stop]}
        for name in ("success", "loss", "grad_norm", "steps", "rejected", "alpha", "switch_tol"):
            if getattr(self, name) is not None:
                columns[name] = getattr(self, name)
        columns |= {f"switch_time[{j}]": times for j, times in enumerate(self.switch_times.T)}
        columns |= {f"w0[{j}]": column for j, column in enumerate(self.W0.T)}
        columns |= {f"w[{j}]": column for j, column in enumerate(self.w.T)}
        return pd.DataFrame(columns)

    def plot(self, ax: Axes | None = None, **kw: Any) -> Any:
        """Draw where the members end; see `maml_ode.plotting.plot_ensemble`."""
        from maml_ode.plotting import plot_ensemble

        return plot_ensemble(self, ax=ax, **kw)

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the ensemble to an ``.npz`` file without pickles, as `Trajectory.save` does; the flow is left out.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        values = {name: getattr(self, name) for name in (*HEADER, *COLUMNS)}
        values["stop"] = np.array([reason.name for reason in self.stop])
        values["success"] = self.success.astype(np.int64)
        SAVED.write(path, values)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | IO[bytes]) -> Ensemble:
        """Read what `save` wrote; everything in the file is checked.

        Raises
        ------
        ValueError
            If the file is damaged or is not an ensemble of this format.
        OSError
            If there is no such file, or it cannot be read.
        """
        values = SAVED.read(path)
        stop = np.empty(len(values["stop"]), dtype=object)
        stop[:] = [StopReason[name] for name in values["stop"]]
        values |= {"stop": stop, "success": values["success"].astype(bool)}
        return cls(**values)


def _counts(plain: Any) -> Counts:
    kinds = dict.fromkeys(KINDS, count)
    counted: Counts = record(Counts, {"diagnostics": or_none(_counts)}, kinds)(plain)
    return counted


def _names_reasons(names: npt.NDArray[np.str_]) -> bool:
    return set(names.tolist()).issubset(StopReason.__members__)


def _says_yes_or_no(flags: npt.NDArray[np.int64]) -> bool:
    return bool(np.isin(flags, (0, 1)).all())


def _has_members(values: Mapping[str, Any]) -> bool:
    return len(values["w"]) > 0


HEADER = {
    "method": Value(text),
    "flow_name": Value(text),
    "identity": Value(or_none(text)),
    "elapsed": Value(number),
    "counts": Value(_counts, Counts.to_dict),
}
# Lengths: K members, d parameters, s switches.
COLUMNS = {
    "W0": Column(("K", "d")),
    "w": Column(("K", "d")),
    "t": Column(("K",)),
    "stop": Column(("K",), kind="U", must="name stop reasons", holds=_names_reasons),
    "success": Column(("K",), kind="i", must="be 0 or 1", holds=_says_yes_or_no),
    "loss": Column(("K",)),
    "grad_norm": Column(("K",)),
    "switch_times": Column(("K", "s")),
    "steps": Column(("K",), kind="i"),
    "rejected": Column(("K",), kind="i"),
    "alpha": Column(("K",), default=None),
    "switch_tol": Column(("K",), default=None),
}
SAVED = Archive(
    "Ensemble", "maml_ode ensemble 1", HEADER, COLUMNS, {"it has no members": _has_members}
)

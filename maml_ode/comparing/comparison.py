"""What `compare` returns: a row per run, and what the numbers are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maml_ode._validation import Array
from maml_ode.runs.rows import data_frame, text_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["COUNTED", "Comparison"]

COUNTED = (
    "gradients", "hvps", "hessians", "thirds", "third_vectors", "factorizations", "steps", "rejected"
)  # fmt: skip
SHOWN = (
    "method", "rtol", "step_size", "error", "work", "gradients", "hvps", "hessians", "factorizations",
    "steps", "rejected", "seconds", "stop",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What every run of a comparison was worth, and what it cost.

    Attributes
    ----------
    rows : list of dict
        One a run: ``method``; ``rtol`` (None for Euler and "exact"); ``step_size`` (None but for Euler);
        ``error``, the distance from the reference at t_max (the largest one, if there are more times) in
        units of the distance travelled, NaN where a run failed; ``work`` in gradient passes at the stated
        prices; counts by kind; ``steps``, ``rejected``; ``seconds``; ``stop``, the name of the stop reason, or
        the error that a run raised; and ``message``, the whole sentence.
    reference : str
        How the reference was made.
    reference_error : float
        What is unsure of it, in the units of ``error``; errors below it mean nothing. NaN if it was given.
    travelled : float
        ||w_ref(t_max) - w0||.
    prices : dict of str to float
        What a Hessian-vector product, a Hessian (d x d; a third derivative contracted to a vector or a matrix
        likewise) and a factorisation cost in gradient passes.
    flow_name : str
    dim : int
    t_max : float
    times : ndarray of shape (n,)
        At which errors are taken.
    states : ndarray of shape (d, n)
        The reference.
    switch_times : ndarray of shape (s,)
        When the reference changed its phase.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> found = mo.compare(problem.maml_flow(), problem.w0, t_max=1.0, methods=["RK45"], rtols=[1e-3, 1e-6])
    >>> [row["method"] for row in found.rows][:2], found.reference_error < 1e-12
    (['Euler', 'Euler'], True)
    """

    rows: list[dict[str, Any]]
    reference: str
    reference_error: float
    travelled: float
    prices: dict[str, float]
    flow_name: str
    dim: int
    t_max: float
    times: Array
    states: Array = field(repr=False)
    switch_times: Array = field(repr=False)

    def table(self) -> str:
        """Return aligned columns, the reference and the prices, for a terminal."""
        rows = [
            {name: row[name] for name in SHOWN if row[name] is not None}
            | {"seconds": float(f"{row['seconds']:.3g}"), "error": float(f"{row['error']:.3g}")}
            for row in self.rows
        ]
        return f"{text_table(rows, SHOWN)}\n\n{self.notes()}" if rows else self.notes()

    def notes(self) -> str:
        """Return what the numbers are made of, in sentences."""
        prices = self.prices
        return (
            f"{self.flow_name} to t = {self.t_max:g}, d = {self.dim}. Errors in units of the distance travelled, "
            f"{self.travelled:.3g}.\n"
            f"Reference: {self.reference}; its own error is {self.reference_error:.1e}.\n"
            f"Work in gradient passes over all tasks: a Hessian-vector product counts {prices['hvp']:g}, a "
            f"Hessian {prices['hessian']:g}, a factorisation {prices['factorization']:g}."
        )

    def plot(self, ax: Axes | None = None, **kw: Any) -> Axes:
        """Draw error over work; see `maml_ode.plotting.plot_comparison`."""
        from maml_ode.plotting import plot_comparison

        return plot_comparison(self.rows, ax, reference_error=self.reference_error, **kw)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return data_frame(self.rows)

    def _repr_html_(self) -> str:
        from maml_ode._html import html_table

        return html_table([[row[name] for name in SHOWN] for row in self.rows], SHOWN, self.notes())

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(row["method"] for row in self.rows))
        return (
            f"Comparison({self.flow_name} to t = {self.t_max:g}: {len(self.rows)} runs by {names})"
        )

"""Numbers that know how they were obtained: exact, a rigorous bound, or an estimate."""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["EXACT_TO", "Quantity", "Status", "safe_side", "worst"]

EXACT_TO = 1e-10
"""The relative error up to which a computed number is called exact."""


class Status(enum.StrEnum):
    """How a number was obtained.

    ``EXACT``: equal to what it stands for, to 1e-10 relative at least. ``BOUND``: proved to lie on the safe
    side (mu and mu_f from below, the others from above). ``ESTIMATE``: sampled; may lie on the
    wrong side.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([1.0], [1.0], [1.0])
    >>> mo.theory.constants(tasks).L.status is mo.theory.Status.EXACT
    True
    >>> [status.value for status in mo.theory.Status]
    ['exact', 'bound', 'estimate']
    """

    EXACT = "exact"
    BOUND = "bound"
    ESTIMATE = "estimate"


_ORDER = {Status.EXACT: 0, Status.BOUND: 1, Status.ESTIMATE: 2}


def worst(*items: Quantity | Status) -> Status:
    """Return the least trustworthy status among ``items`` (``EXACT`` if there are none)."""
    statuses = [item.status if isinstance(item, Quantity) else item for item in items]
    return max(statuses, key=_ORDER.__getitem__, default=Status.EXACT)


class Quantity(float):
    """A float with a status and a note; arithmetic on it gives plain floats.

    Parameters
    ----------
    value : float
        The number; ``inf`` where no finite one exists.
    status : Status or str
        ``"exact"``, ``"bound"`` or ``"estimate"``.
    note : str
        Where the number comes from, or why it is infinite.

    Examples
    --------
    >>> L = Quantity(2.01, "exact", "2 a + b omega^2")
    >>> 1 / L < 0.5, L.status
    (True, <Status.EXACT: 'exact'>)
    """

    status: Status
    note: str

    def __new__(cls, value: float, status: Status | str = Status.EXACT, note: str = "") -> Quantity:
        """Build an immutable float with ``status`` and ``note``."""
        self = super().__new__(cls, value)
        object.__setattr__(self, "status", Status(status))
        object.__setattr__(self, "note", note)
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return float(self), self.status, self.note

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Quantity is immutable; build a new one to change {name!r}.")

    @property
    def value(self) -> float:
        """The number as a plain float."""
        return float(self)

    def __repr__(self) -> str:
        return f"Quantity({float(self):.6g}, {self.status.value!r})"


def safe_side(value: float, error: float, *, above: bool, note: str = "") -> Quantity:
    """Return a computed number as exact, or moved by its error bar to the side on which it is a bound.

    Parameters
    ----------
    value, error : float
        The number and how far it may be from what it stands for.
    above : bool
        Whether what depends on it is safe with a number that is too large.
    note : str
    """
    if error <= EXACT_TO * abs(value):
        return Quantity(value, Status.EXACT, note)
    said = f"{note}, within {error:.2g}" if note else f"within {error:.2g}"
    return Quantity(value + error if above else value - error, Status.BOUND, said)

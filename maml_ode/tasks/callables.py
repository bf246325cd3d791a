"""The earlier address of `maml_ode.tasks.adapters.callables`."""

from maml_ode.tasks.adapters.callables import CallableFamily, from_callables

__all__ = ["CallableFamily", "from_callables"]

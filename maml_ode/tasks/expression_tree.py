"""Where families that were pickled when the tree stood here look for its classes."""

from maml_ode.tasks.symbolic.tree import Call, Constant, Name, Number, Power, Product, Sum

__all__ = ["Call", "Constant", "Name", "Number", "Power", "Product", "Sum"]

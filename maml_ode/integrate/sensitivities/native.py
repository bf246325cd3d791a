"""The handle of an augmented field for compiled steppers, where its families are compiled."""

from __future__ import annotations

from typing import Any

from maml_ode.fields import FirstOrderField, GradientField, ReptileField
from maml_ode.flows.fields import VectorField

__all__ = ["augmented_handle"]

NO_COLUMN = -1


def augmented_handle(field: VectorField, alpha: int | None, weights: int | None) -> Any | None:
    """Return the handle of a field and its derivatives, None where only Python can evaluate them.

    Parameters
    ----------
    field : VectorField
    alpha, weights : int, optional
        Where the columns of these parameters begin; None if the field does not depend on them.
    """
    affine = field.affine
    if affine is not None and alpha is None and weights is None:
        from maml_ode.compiled.sensitivities import augmented_affine

        return augmented_affine(affine.K, affine.k)
    from maml_ode.compiled import fields

    kind, base = fields.MAML, None
    if isinstance(field, GradientField):
        # What no inner step is taken of asks for no third derivatives.
        steps, objective = field.objective._inner.count, field.objective
        base = objective.curved_handle() if steps else objective.native_handle()
    elif isinstance(field, (FirstOrderField, ReptileField)):
        kind = fields.FIRST_ORDER if isinstance(field, FirstOrderField) else fields.REPTILE
        base = field._family_handle()
    if base is None:
        return None
    from maml_ode.compiled.sensitivities import augmented_field

    alpha, weights = (NO_COLUMN if column is None else column for column in (alpha, weights))
    form = None if affine is None else (affine.K, affine.k)
    return augmented_field(base, kind, field.dim, alpha, weights, form)

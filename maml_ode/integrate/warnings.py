"""The warnings of the integrators, named so that they can be filtered."""

__all__ = ["NonSmoothWarning", "StepSizeWarning"]


class StepSizeWarning(UserWarning):
    """Euler's step size exceeds the stability limit 2/lambda_max of a quadratic phase."""


class NonSmoothWarning(UserWarning):
    """The field is discontinuous: every integrator falls to first order at its jumps."""

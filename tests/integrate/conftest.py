"""Right-hand sides that test files of the integrators share."""

import numpy as np
import pytest

from maml_ode.compiled.fields import evaluate


class CountedField:
    """A field as `solve` hands it to a method: native handle, charged evaluations, remembered values."""

    def __init__(self, field, native=True):
        self.field = field
        self.native = field.native if native else None
        self.autonomous = True
        self.evaluations = 0
        self.remembered = []

    def charge(self, evaluations):
        self.evaluations += evaluations

    def remember(self, w, value):
        self.remembered.append((w.copy(), value.copy()))

    def __call__(self, t, w):
        self.evaluations += 1
        # An error estimate far below its tolerance is rounding, and so are the steps that follow from it: what is
        # compared is the way of calling, by the same arithmetic.
        if self.field.native is None:
            return self.field(w)
        out = np.empty(w.size)
        evaluate(self.field.native, w, out)
        return out


@pytest.fixture
def counted_field():
    return CountedField

"""Right-hand sides that test files of the integrators share."""

import pytest


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
        return self.field(w)


@pytest.fixture
def counted_field():
    return CountedField

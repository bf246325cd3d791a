"""Which guarantee is named: every sentence, from certificates and settings made up for it."""

# ruff: noqa: E501  (whole sentences)

import math
from types import SimpleNamespace

import pytest

from maml_ode.theory.certificates.certificate import Certificate, Certificates
from maml_ode.theory.certificates.guarantee import which_guarantee
from maml_ode.theory.quantities import Status

EXACT, BOUND, ESTIMATE = Status.EXACT, Status.BOUND, Status.ESTIMATE
NOTHING = "No guarantee of this theory applies to this problem."


def one(name, holds=None, status=BOUND, **numbers):
    return Certificate(name, "", numbers.pop("formula", ""), (), holds, status=status, **numbers)


def model(floor):
    """At level c the gradients' radius is 2 c and their bound 3 times that: 6 c in all."""
    return SimpleNamespace(
        gap_floor=floor, level_floor=10 * floor, gradient_radius=lambda c: 2 * c,
        gradient_bound=lambda r: 3 * r,
    )  # fmt: skip


def guarantee(*given, models=(), region=None, status=BOUND):
    names = ("unique_minimum", "time_bound", "local_minimum", "fallback_stationarity")
    found = {name: one(name) for name in names} | {item.name: item for item in given}
    setting = SimpleNamespace(
        tol=1e-6, models=models, constants=SimpleNamespace(region=region), status=status
    )
    item = which_guarantee(setting, Certificates(found.values()))
    return item.statement, item.holds, item.status


QUADRATIC = one("quadratic_exact", True, formula="F is quadratic")
UNIQUE = one("unique_minimum", True)
TIME = one("time_bound", True, bound=12.5)
LOCAL = one("local_minimum", True, note="radius 0.25")
AROUND = "exactly one critical point in a ball about a computed minimiser: radius 0.25."
BROUGHT = "of the MAML flow from w0 bring ||grad F|| below 1e-06"


@pytest.mark.parametrize(
    ("given", "setting", "right"),
    [
        ((QUADRATIC, UNIQUE, TIME), {},
         ("Quadratic tasks: F has exactly one critical point, its global minimum, and 12.5 units of time "
          f"{BROUGHT}.", True, BOUND)),
        ((QUADRATIC, one("unique_minimum", True, EXACT)), {},
         ("Quadratic tasks: F has exactly one critical point, its global minimum.", True, EXACT)),
        ((QUADRATIC, one("unique_minimum", False)), {},
         ("Quadratic tasks whose G = E H_i (I - alpha H_i)^2 is not positive definite: F has no unique minimum.",
          None, BOUND)),
        ((QUADRATIC,), {},
         ("Quadratic tasks whose G = E H_i (I - alpha H_i)^2 is not positive definite: F may have no unique minimum.",
          None, BOUND)),
        # a search that was not made is no statement
        ((one("quadratic_exact", True), UNIQUE), {}, ("F has exactly one critical point, its minimum.", True, BOUND)),
        ((one("other", True, formula="x"), UNIQUE), {}, ("F has exactly one critical point, its minimum.", True, BOUND)),
        ((UNIQUE, TIME), {},
         (f"F has exactly one critical point, its minimum, and 12.5 units of time {BROUGHT}.", True, BOUND)),
        ((UNIQUE, one("time_bound", True)), {}, ("F has exactly one critical point, its minimum.", True, BOUND)),
        ((UNIQUE, one("time_bound", None, bound=3.0)), {}, ("F has exactly one critical point, its minimum.", True, BOUND)),
        ((one("unique_minimum", True, ESTIMATE), one("time_bound", True, ESTIMATE, bound=2.0)), {"region": "a ball"},
         ("F is estimated to have exactly one critical point among the points whose steps stay in the region, its "
          "minimum, and 2 units of time of the MAML flow from w0 are estimated to bring ||grad F|| below 1e-06.",
          True, ESTIMATE)),
        ((), {"models": [model(0.5), model(0.25), model(math.inf)]},
         ("No uniqueness is certified, but the MAML flow comes arbitrarily near to {f - f* <= 2.5}, where ||grad F|| "
          "<= 15.", True, BOUND)),
        ((LOCAL,), {"models": [model(0.5)], "status": ESTIMATE},
         ("No uniqueness is certified, but the MAML flow is estimated to come arbitrarily near to {f - f* <= 5}, where "
          f"||grad F|| <= 30. F has {AROUND}", True, ESTIMATE)),
        ((one("unique_minimum", False), one("critical_points", True, value=3.0, note="two minima")),
         {"models": [model(0.5)], "status": EXACT},
         ("F has 3 critical points (two minima), so no uniqueness holds. The MAML flow comes arbitrarily near to "
          "{f - f* <= 5}, where ||grad F|| <= 30.", True, BOUND)),
        ((one("unique_minimum", False),), {"models": [model(0.5)]},
         ("No uniqueness is certified, but the MAML flow comes arbitrarily near to {f - f* <= 5}, where ||grad F|| "
          "<= 30.", True, BOUND)),
        ((one("critical_points", None, note="x"),), {"models": [model(0.5)]},
         ("No uniqueness is certified, but the MAML flow comes arbitrarily near to {f - f* <= 5}, where ||grad F|| "
          "<= 30.", True, BOUND)),
        ((LOCAL,), {"models": [model(0.5)], "region": "a ball"},
         (f"No global statement applies. F has {AROUND}", True, BOUND)),
        ((one("local_minimum", True, ESTIMATE, note="estimated"),), {"models": [model(math.inf)]},
         ("No global statement applies. It is estimated that F has exactly one critical point in a ball about a "
          "computed minimiser: estimated.", True, ESTIMATE)),
        ((one("fallback_stationarity", True, EXACT, bound=7.0),), {},
         ("Only the fallback applies: F falls along the flow, and ||grad F|| <= 1e-06 at some time before 7.", True, EXACT)),
        ((), {}, (NOTHING, None, BOUND)),
        ((), {"status": ESTIMATE}, (NOTHING, None, ESTIMATE)),
    ],
)  # fmt: skip
def test_the_strongest_statement_that_holds(given, setting, right):
    assert guarantee(*given, **setting) == right

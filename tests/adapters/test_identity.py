"""Two families of the user's functions are the same where the code and all that it refers to are."""

import functools
import math

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.tasks.adapters.digest import digest_of_functions

SCALE = 2.0
CENTRES = np.array([[0.0], [1.0]])
STATE = {"calls": 0}


def helper(w):
    return SCALE * np.asarray(w) + math.pi


def uses_helper(w):
    return helper(w)


def with_constant(c):
    return lambda w: c * w


def counting(w):
    STATE["calls"] += 1
    return w


def recursive(n):
    return 1 if n < 1 else n * recursive(n - 1)


class Model:
    size = 3

    def __call__(self, w):
        return w

    def method(self, w):
        return helper(w)


@pytest.fixture
def restored(monkeypatch):
    return lambda name, value: monkeypatch.setitem(globals(), name, value)


def test_the_same_function_made_twice_is_the_same():
    assert digest_of_functions(with_constant(2.0)) == digest_of_functions(with_constant(2.0))
    assert digest_of_functions(recursive) == digest_of_functions(recursive)
    a, b = (functools.partial(with_constant, c=x) for x in (1.0, 2.0))
    assert None not in (
        digest_of_functions(a),
        digest_of_functions(Model),
        digest_of_functions(np.sin),
    )
    assert digest_of_functions(a) != digest_of_functions(b)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (with_constant(2.0), with_constant(3.0)),
        (with_constant(CENTRES), with_constant(CENTRES + 1)),
        (with_constant(np.sin), with_constant(np.cos)),
        (lambda w: w + 1, lambda w: w - 1),
        (lambda w: w + 1, lambda w: w + 2),
        (lambda w, a=1: a, lambda w, a=2: a),
        (lambda w: np.sin(w), lambda w: np.cos(w)),
    ],
)
def test_what_differs_in_code_or_content_is_another(one, other):
    assert digest_of_functions(one) != digest_of_functions(other)


def test_what_a_function_refers_to_through_others_counts(restored):
    before = digest_of_functions(uses_helper)
    assert before is not None
    restored("SCALE", 3.0)
    assert digest_of_functions(uses_helper) != before


def test_what_may_change_is_unknown():
    total = 0

    def writes(w):
        nonlocal total
        total += 1
        return w

    for function in (
        counting,
        writes,
        with_constant([1.0]),
        with_constant(Model()),
        Model().method,
    ):
        assert digest_of_functions(function) is None


def family(c, weights=None):
    return mo.tasks.from_callables(
        losses=lambda W: c * ((W - CENTRES) ** 2)[:, 0],
        gradients=lambda W: 2.0 * c * (W - CENTRES),
        hvps=lambda W, V: 2.0 * c * V,
        n_tasks=2,
        dim=1,
        batched=True,
        weights=weights,
    )


def test_a_run_is_gone_on_with_by_the_same_losses_only(tmp_path):
    run = mo.solve(mo.maml_flow(family(1.0), 0.1), [3.0], t_max=0.5)
    run.save(tmp_path / "run.npz")
    loaded = mo.Trajectory.load(tmp_path / "run.npz")
    assert loaded.identity == run.identity is not None
    whole = mo.solve(mo.maml_flow(family(1.0), 0.1), resume=loaded, t_max=1.0)
    assert whole.t[-1] == 1.0
    for other in (family(2.0), family(1.0, weights=[0.3, 0.7])):
        with pytest.raises(ValueError, match="run of another flow"):
            mo.solve(mo.maml_flow(other, 0.1), resume=loaded, t_max=1.0)

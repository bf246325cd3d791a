"""In one dimension the count of critical points settles what constants leave open."""

import pytest

import maml_ode as mo


@pytest.mark.parametrize(
    ("alpha", "number"), [(0.01, 1), (0.038, 3), (0.1, 1), (0.15, 3), (0.4, 7)]
)
def test_uniqueness_on_figure_1_is_decided_by_the_count(alpha, number):
    problem = mo.experiments.load("figure1")
    found = mo.theory.certify(problem.tasks, alpha, w0=problem.w0)
    assert found["critical_points"].value == number
    assert found["unique_minimum"].holds is (number == 1)
    assert found["unique_minimum"].status.value == "exact"
    if number > 1:
        assert f"F has {number} critical points" in found.summary()
    else:
        assert "exactly one critical point" in found.summary()


def test_no_count_is_claimed_outside_its_hypotheses(logistic):
    problem = mo.experiments.load("figure1")
    beyond = mo.theory.certify(problem.tasks, 0.5)  # alpha L > 1: critical points may lie anywhere
    assert beyond["unique_minimum"].holds is None
    assert "critical_points" not in {item.name for item in beyond}
    assert "critical_points" not in {item.name for item in mo.theory.certify(logistic, 0.1)}

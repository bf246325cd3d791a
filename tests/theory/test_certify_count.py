"""In one dimension the count of critical points settles what constants leave open."""

import mpmath
import pytest

import maml_ode as mo
from maml_ode.theory.certificates.certificate import Certificate
from maml_ode.theory.certificates.of_a_count import (
    count_everywhere,
    critical_points_certificate,
    settle_uniqueness,
)
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.quantities import Status

from . import in_mpmath

FIGURE_1 = mo.tasks.Sinusoid(**in_mpmath.FIGURE_1)


@pytest.mark.parametrize(
    ("alpha", "number"), [(0.01, 1), (0.038, 3), (0.1, 1), (0.15, 3), (0.4, 7)]
)
def test_uniqueness_on_figure_1_is_decided_by_the_count(alpha, number):
    problem = mo.experiments.load("figure1")
    found = mo.theory.certify(problem.tasks, alpha, w0=problem.w0)
    counted, unique = found["critical_points"], found["unique_minimum"]

    def slope(w):
        return in_mpmath.exact_slope(w, alpha)

    roots = in_mpmath.roots(slope, -1.0, 1.0, 1601)
    signs = [mpmath.sign(mpmath.diff(slope, w)) for w in roots]
    assert counted.value == len(roots) == number
    assert (counted.holds, counted.status, counted.hypotheses) == (True, Status.EXACT, ())
    written = ", ".join(f"{float(w):.6g}" for w in roots)
    assert counted.note == f"{signs.count(1)} minima; at {written}"
    assert unique.holds is (number == 1)
    assert unique.status is Status.EXACT
    plural = "" if number == 1 else "s"
    assert unique.note.startswith(
        f"{number} critical point{plural}, counted by interval arithmetic"
    )
    if number > 1:
        assert f"F has {number} critical points" in found.summary()
    else:
        assert "exactly one critical point" in found.summary()


def test_the_verdict_from_constants_is_kept_as_a_note():
    found = mo.theory.count_critical_points(FIGURE_1, 0.4)
    guess = Certificate("unique_minimum", "s", "f", (), None, value=1.5, status=Status.ESTIMATE)
    settled = settle_uniqueness(guess, found)
    assert settled.note == "7 critical points, counted by interval arithmetic"
    assert (settled.holds, settled.status, settled.value) == (False, Status.EXACT, 1.5)
    noted = settle_uniqueness(Certificate("n", "s", "f", (), None, note="too steep"), found)
    assert noted.note == f"{settled.note}; from constants: too steep"
    one = mo.theory.count_critical_points(FIGURE_1, 0.1)
    assert settle_uniqueness(guess, one).holds is True
    assert settle_uniqueness(guess, one).note.startswith("1 critical point, counted")
    written = critical_points_certificate(one)
    assert (written.name, written.value) == ("critical_points", 1.0)
    assert written.note == f"1 minima; at {one.points[0]:.6g}"


def test_a_count_that_takes_too_long_is_left_out():
    known = mo.theory.constants(FIGURE_1)
    setting = Setting(FIGURE_1, 0.4, known, None, None, 1e-8)
    assert count_everywhere(setting).count == 7
    assert count_everywhere(setting, max_seconds=1e-6) is None


def names(tasks, alpha, **more):
    return {item.name for item in mo.theory.certify(tasks, alpha, **more)}


def test_no_count_is_claimed_outside_its_hypotheses(logistic, monkeypatch):
    assert "critical_points" in names(FIGURE_1, 0.49)
    beyond = mo.theory.certify(FIGURE_1, 0.5)  # alpha L > 1: critical points may lie anywhere
    assert beyond["unique_minimum"].holds is None
    assert "critical_points" not in {item.name for item in beyond}
    assert "critical_points" not in names(logistic, 0.1)
    # F' of a wave on a slope is not confined
    assert "critical_points" not in names(
        mo.tasks.Sinusoid([0.5, 0.0], [0.1, 0.1], [1.0, 1.0]), 0.1
    )
    # constants of a region say nothing of the whole line
    regional = mo.theory.constants(FIGURE_1, mo.theory.Interval(-1.0, 1.0))
    assert "critical_points" not in names(FIGURE_1, 0.1, constants=regional)
    # what is not proved is not claimed
    monkeypatch.setattr("maml_ode.theory.intervals.search.unconfirmed", lambda *rest: "no")
    doubtful = mo.theory.certify(FIGURE_1, 0.4)
    assert "critical_points" not in {item.name for item in doubtful}
    assert doubtful["unique_minimum"].holds is None


def test_a_count_is_made_exactly_where_the_whole_line_is_covered():
    def counted(tasks, alpha, k=None):
        k = mo.theory.constants(tasks) if k is None else k
        return count_everywhere(Setting(tasks, alpha, k, None, None, 1e-8), None)

    waves = mo.tasks.Sinusoid([0.5, 0.75], [0.1, 0.2], [1.0, 1.0])  # L = 1.7
    found = counted(waves, 0.25)
    assert (len(found.points), found.everywhere) == (1, True)
    certificate = critical_points_certificate(found)
    assert (certificate.holds, certificate.value) == (True, 1.0)
    assert counted(mo.tasks.Sinusoid([0.5, 0.0], [0.1, 0.1], [1.0, 1.0]), 0.1) is None
    k = mo.theory.constants(waves)
    for top, there in ((4.0, False), (4.0 - 1e-9, True)):  # alpha L = 1 is too much
        object.__setattr__(k, "L", mo.theory.Quantity(top))
        assert (counted(waves, 0.25, k) is not None) is there
    assert counted(waves, 0.1, mo.theory.constants(waves, mo.theory.Interval(-1.0, 1.0))) is None

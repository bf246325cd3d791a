"""The errata: examples violate what is printed only and agree with the library; the page is current."""

import functools
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import maml_ode as mo
from maml_ode.cli import main
from maml_ode.errata import errata
from maml_ode.errata.erratum import Comparison, OneVariable, line, parabola
from maml_ode.errata.page import _number

ROOT = Path(__file__).parent.parent.parent
ITEMS = {item.statement: item for item in errata()}

# From independent computations: SymPy, closed forms, loops in plain NumPy.
KNOWN = {
    "Assumption 3.3": (-1.21, 0.125),
    "Assumption 3.4": (500.0, 5.0),
    "Proposition 3.1": (0.0315, 0.0),
    "Algorithms 1 and 2, line 3": (0.48, 1e-6),
    "Equation (3.4)": (-1.62, -0.81),
    "Units (Lemma 3.8, Theorems B.2, 3.6, 3.7)": (0.0041, 0.129),
    "Section 3.3, the limit": (0.5, 0.25),
    "Theorem B.2, the limit on alpha": (2.51, 1.0),
    "Lemma C.1 and its use": (1.0, 0.5),
    "Lemma C.2, lower bound": (-0.228, 0.125),
    "Lemma C.2, upper bound": (5.65, 3.375),
    "Lemma D.2": (4.0, 1.0),
    "Lemma D.5": (0.134, 0.1),
    "Figure 1": (7.0, 1.0),
}


@pytest.fixture(scope="module")
def evidence():
    return {name: item.counterexample() for name, item in ITEMS.items()}


def test_every_counterexample_violates_the_printed_claim_only(evidence):
    for name, found in evidence.items():
        item = ITEMS[name]
        assert item.verdict in ("false", "gap", "true after repair")
        assert found.printed is not None or item.verdict == "true after repair", name
        assert found.printed is None or not found.printed.holds, name
        assert found.corrected is None or found.corrected.holds, name
        assert found.printed is not None or found.corrected is not None
        assert all(len(text) > 3 for text in (item.printed, item.corrected, item.proof))


def test_examples_have_the_known_numbers(evidence):
    for name, (left, right) in KNOWN.items():
        printed = evidence[name].printed
        assert printed.left == pytest.approx(left, rel=5e-3), name
        assert printed.right == pytest.approx(right, rel=5e-3), name
    assert evidence["Lemma C.2, lower bound"].numbers["critical points of F on [-4, 4]"] == 3
    assert evidence["Theorem 3.10"].numbers["corrected limit of alpha"] == pytest.approx(
        1.979e-4, rel=1e-3
    )
    assert evidence["Theorem 3.10"].numbers["printed limit of alpha"] == pytest.approx(
        7.894e-7, rel=1e-3
    )
    latch = evidence["Algorithms 1 and 2, the test in every step"].numbers
    assert latch == {"switches": 1790, "steps with the one-way switch": 119}
    assert evidence["Theorem 3.7"].numbers["printed limit of alpha"] > 0.05


def test_the_corrected_limit_of_section_3_3_to_the_last_digits(evidence):
    """(L rho sigma/zeta_1)^2 = O(alpha^2), of which the page shows four digits only."""
    low, high, alpha = 1 - 2 * Fraction(1, 10**6), 1 - Fraction(1, 10**6), Fraction(1, 10**6)
    zeta = Fraction(3, 2) * low**2 - Fraction(1, 2) * high**2
    exact = 4 * alpha**2 * (low**2 + high**2) / 2 / zeta**2
    assert evidence["Section 3.3, the limit"].corrected.left == pytest.approx(
        float(exact), rel=1e-9
    )


def test_the_printed_bound_of_lemma_b1_to_the_last_digits(evidence):
    alpha = Fraction(1, 10**9)
    exact = 5 * alpha * (8 * alpha**2 + 8 * alpha + 2) + Fraction(1, 2)
    found = evidence["Lemma B.1"].numbers["printed with alpha = 1e-9"]
    assert found == pytest.approx(float(exact), rel=1e-14)


def test_only_rounding_is_written_as_nothing():
    assert [_number(x) for x in (0.9e-12, -0.9e-12, 1e-12, -1e-12)] == ["0", "0", "1e-12", "-1e-12"]


def test_comparisons_can_hold_and_fail():
    assert Comparison("a", 1.0, "<=", "b", 1.0).holds
    assert not Comparison("a", 1.0 + 1e-6, "<=", "b", 1.0).holds
    assert Comparison("a", 1.0 - 1e-12, ">=", "b", 1.0).holds
    assert not Comparison("a", 1.0, "=", "b", 1.001).holds
    assert not Comparison("a", 1.0, "<=", "b", -np.inf).holds
    assert Comparison("a", 1.0, "<=", "b", np.inf).holds


def test_one_variable_examples_against_the_library():
    """The examples are written apart from the families; both must agree."""
    quadratics = OneVariable([parabola(1.0, 3.0), parabola(3.0, -1.0)], 0.1)
    F = mo.MAMLLoss(mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]]), 0.1)
    waves = OneVariable([line(2.0, 7.0, 1.0), line(2.0, 7.0, 1.0, -1.0)], 1 / 6)
    symbolic = mo.tasks.Symbolic("w**2 + s*(7*w - sin(w))", "w", {"s": [1.0, -1.0]})
    G = mo.MAMLLoss(symbolic, 1 / 6)
    for w in (-1.3, 0.0, 0.7, 5.0):
        for ours, objective in ((quadratics, F), (waves, G)):
            assert ours.maml_gradient(w) == pytest.approx(objective.gradient([w])[0], rel=1e-12)
            assert ours.maml_curvature(w) == pytest.approx(objective.hessian([w])[0, 0], rel=1e-12)
    # RK4 against the exponential: |F'| falls from 1.6 x .5 x .81 at the rate .81
    single = OneVariable([parabola(1.0)], 0.1)
    assert single.maml_decrease_time(0.5, 0.01, 1e-3) == pytest.approx(
        np.log(0.5 * 0.81 / 0.01) / 0.81, abs=1.1e-3
    )


@pytest.mark.parametrize(
    ("rule", "eps0", "name"),
    [
        ("as_printed", 1.0, "Algorithms 1 and 2, line 3"),
        ("retest", 0.5, "Algorithms 1 and 2, the test in every step"),
    ],
)
def test_algorithm_1_against_the_library(rule, eps0, name, tug_of_war, evidence):
    flow = mo.bimaml_flow(tug_of_war, 0.1, eps0, rule=rule)
    run = mo.euler(flow, [10.0], 0.1, tol=1e-6, max_iter=3000)
    F = mo.MAMLLoss(tug_of_war, 0.1)
    slope = float(np.linalg.norm(F.gradient(run.w)))
    assert not run.success
    assert slope > 1e-3
    if rule == "as_printed":
        assert evidence[name].printed.left == pytest.approx(slope, rel=1e-6)
    once = mo.euler(mo.bimaml_flow(tug_of_war, 0.1, eps0), [10.0], 0.1, tol=1e-6)
    assert once.success
    assert once.t.size - 1 == evidence[name].numbers["steps with the one-way switch"]


def test_experiment_constants_against_the_library(evidence):
    found = evidence["Section 4, the experiments"]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 100, 20))
    tasks = mo.tasks.LinearRegression(X, np.zeros((10, 100)))
    largest = mo.theory.constants(tasks).L.value
    assert found.printed.left == pytest.approx(0.3 * largest, rel=1e-10)
    values = np.linalg.eigvalsh(mo.MAMLLoss(tasks, 0.3).hessian(np.zeros(20)))
    assert values[0] == pytest.approx(found.corrected.left, rel=1e-9)
    assert found.numbers["alpha L with the sum, as printed"] == pytest.approx(
        100 * found.printed.left
    )


def test_the_functions_named_exist():
    for item in errata():
        assert item.computed_by, item.statement
        for name in item.computed_by:
            found = functools.reduce(getattr, name.removeprefix("mo.").split("."), mo)
            assert callable(found), name


def test_the_page_is_up_to_date(tmp_path):
    """Write it again with ``maml-ode errata docs/errata.md``."""
    page = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
    written = tmp_path / "page.md"
    assert CliRunner().invoke(main, ["errata", str(written)]).output == f"wrote {written}\n"
    assert written.read_text(encoding="utf-8") == page
    for item in errata():
        assert page.count("**fails**") >= len(ITEMS)
        assert item.verdict in page
    assert "nan" not in page


def test_the_page_goes_to_the_terminal_or_a_file_that_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr("maml_ode.errata.to_markdown", lambda: "# Errata ≤")
    assert CliRunner().invoke(main, ["errata"]).output == "# Errata ≤\n"
    refused = CliRunner().invoke(main, ["errata", str(tmp_path / "no" / "page.md")])
    assert refused.exit_code == 2
    assert "PAGE cannot be written" in refused.output


def test_the_errata_answer_as_a_module_and_under_their_former_names():
    done = subprocess.run(
        [sys.executable, "-m", "maml_ode.errata", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: python -m maml_ode.errata [OPTIONS] [PAGE]" in done.stdout
    assert mo.theory.errata is mo.errata
    assert mo.theory.open_points is mo.errata.open_points

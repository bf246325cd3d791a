"""What theory, formulas and the command line advise is done literally, and then it works; none is left out."""

# ruff: noqa: E501  (the table is read by its columns)

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from click.testing import CliRunner

import maml_ode as mo
from maml_ode import theory
from maml_ode.cli import main
from maml_ode.theory.bounds import flow_times, near_a_point
from maml_ode.theory.bounds.step_limits import step_size_limit
from maml_ode.theory.intervals import critical_points

from ..test_remedies import sentences

ROOT = Path(mo.__file__).parent
H, B, W = [[[2.0, 0.5], [0.5, 1.0]]], [[1.0, 0.0]], [0.3, -0.2]
TASKS = mo.tasks.Quadratic(H, B)
STIFF = mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 9.0]]], [[1.0, 0.0]])
UNLIKE = mo.tasks.Quadratic([[[3.0]], [[-1.0]]], [[1.0], [0.5]])
WAVES = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
X, Y = np.array([[1.0, 0.5], [0.0, 1.0], [0.5, -1.0]]), np.array([1.0, -1.0, 1.0])
LOGISTIC = mo.tasks.LogisticRegression([X], [Y], l2=0.1)
RUN = mo.solve(mo.maml_flow(TASKS, 0.1), W)
BALL = theory.Ball([0.0, 0.0], 1.0)
LOG = mo.tasks.Symbolic("w - log(w)", "w")


def callables(**given):
    return mo.tasks.from_callables(
        lambda i, w: float(w @ w), lambda i, w: 2.0 * w, **given, n_tasks=1, dim=2
    )


def products(**given):
    return callables(hvps=lambda i, w, v: 2.0 * v, hessians=lambda i, w: 2.0 * np.eye(2), **given)


def symbolic(text, names="w", **parameters):
    return mo.tasks.Symbolic(text, names, parameters or None)


def value(text, names="w", w=(0.7,), **parameters):
    return symbolic(text, names, **parameters).losses(list(w))


# Of the one quadratic task: u = w - alpha grad f(w) has grad f(u) = STEP grad f(w), and so grad F = STEP^2 grad f.
STEP, SLOPE = np.eye(2) - 0.1 * np.array(H[0]), np.array(H[0]) @ W - np.array(B[0])
FLOW = mo.maml_flow(TASKS, 0.1)
DENSE = mo.solve(FLOW, W, dense_output=True, rtol=1e-10, atol=1e-13)
START = dataclasses.replace(DENSE, t=DENSE.t[:1], y=DENSE.y[:, :1], phase=DENSE.phase[:1])


def energy(w):
    return 0.5 * float(w @ w)


def agrees(reading):
    """Whether dE/dt is -<w, grad F(w)> where the reading begins."""
    rate = -np.dot(W, STEP @ STEP @ SLOPE)
    return bool(abs(reading.derivative[0] - rate) < 1e-6 * abs(rate))


def two_steps():
    return mo.Experiment(TASKS, 0.1, inner_steps=2)


def other_losses():
    return mo.Experiment(TASKS, 0.1, query=STIFF)


def one_own_step():
    return mo.Experiment(TASKS, 0.1)


def square(x):
    return {"y": float(x) ** 2}


def swept(*grids):
    options = [word for grid in grids for word in ("--grid", grid)]
    found = command("sweep", f"{__name__}:square", *options, "--json", "--no-progress")
    return [row["y"] for row in json.loads(found)["rows"]]


def certified(tasks, name, alpha=0.01, **options):
    return theory.certify(tasks, alpha, **options)[name]


def hinge(loss):
    return mo.tasks.SVM([X], [Y], loss=loss)


def note_of(count):
    found = count()
    return found.note if found.count is None else f"{found.count} critical points"


def many(tasks, **options):
    return theory.count_critical_points(tasks, 0.4, **options)


def command(*arguments):
    done = CliRunner().invoke(main, list(arguments))
    if done.exit_code == 2:
        raise ValueError(" ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stderr).split()))
    assert done.exit_code == 0, done.output
    return done.output


def slow(seconds):
    """Derive with a limit of time of the derivations; families keep what they have derived."""
    from maml_ode.tasks.symbolic import source

    before, source.MAX_SECONDS = source.MAX_SECONDS, seconds
    try:
        return symbolic(f"sin(w*{1 + slow.calls}) + exp(w)").source
    finally:
        slow.calls += 1
        source.MAX_SECONDS = before


slow.calls = 0


def short(operations, text="sin(w)*exp(w)*cos(3*w)*w**7"):
    from maml_ode.tasks.symbolic import source

    before, source.MAX_OPERATIONS = source.MAX_OPERATIONS, operations
    try:
        return symbolic(f"{text} + {slow.calls}*w").source
    finally:
        slow.calls += 1
        source.MAX_OPERATIONS = before


def long_sum(n):
    return " + ".join(["w"] * n)


def deep_sum(n):
    """A SymPy expression of n nested sines."""
    w = sp.Symbol("w")
    found = w
    for _ in range(n):
        found = sp.sin(found)
    return found


SQUARE = mo.tasks.from_callables(lambda i, w: float(w @ w), lambda i, w: 2.0 * w, n_tasks=1, dim=1)
OWN = SQUARE.losses  # a loss of any size works from callables
w_, w1_ = sp.Symbol("w"), sp.Symbol("w", positive=True)

# The words, what ends with them (a refusal, or a text that holds them), and what the advice makes of that.
TABLE = [
    # theory
    ("use time_bound for sigma = 0", lambda: flow_times.closed_form_time(1.0, 0.0, 1.0, 2.0, 1e-6),
     lambda: flow_times.time_bound(theory.Landscape(0.1, 1.0, 2.0, 1.0, 1.0, 2.0, 0.0), 1.0, 1e-6)),
    ("MAMLLoss with inner_steps = 1; pass a point instead",
     lambda: step_size_limit(mo.MAMLLoss(LOGISTIC, 0.1, inner_steps=2), BALL),
     lambda: (step_size_limit(mo.MAMLLoss(LOGISTIC, 0.1, inner_steps=2), W),
              step_size_limit(mo.ExpectedLoss(LOGISTIC), BALL), step_size_limit(mo.MAMLLoss(LOGISTIC, 0.1), BALL))),
    ("with a query family no bound on a region is available; pass a point",
     lambda: step_size_limit(mo.MAMLLoss(LOGISTIC, 0.1, query=STIFF), BALL),
     lambda: step_size_limit(mo.MAMLLoss(LOGISTIC, 0.1, query=STIFF), W)),
    ("phase 1 converges too slowly for its price; use MAML",
     lambda: theory.switch_advice(STIFF, 0.02, cost_ratio=1e-3).note,
     lambda: mo.solve(mo.maml_flow(STIFF, 0.02), W).success),
    (r"leave phase 1 at \|\|grad f\|\| = ", lambda: theory.switch_advice(STIFF, 0.02).note,
     lambda: mo.solve(mo.bimaml_flow(STIFF, 0.02, theory.switch_advice(STIFF, 0.02).switch_tol or 0.1), W).success),
    ("was found from argmin f; use a smaller alpha", lambda: theory.switch_advice(UNLIKE, 0.3),  # G < 0 there
     lambda: theory.switch_advice(UNLIKE, 0.05).gradient_at_solution > 0),
    ("pass the tasks that the run was made with", lambda: theory.monitor(RUN, WAVES, 0.1),
     lambda: theory.monitor(RUN, TASKS, 0.1)),
    ("pass the tasks and the alpha that the run was made with", lambda: theory.monitor(RUN, TASKS, 0.2),
     lambda: theory.monitor(RUN, TASKS, 0.1)),
    ("pass the flow, with the tasks and the alpha, that the run was made with",
     lambda: theory.monitor(RUN, TASKS, 0.1, flow=mo.maml_flow(TASKS, 0.2)),
     lambda: theory.monitor(RUN, TASKS, 0.1, flow=mo.maml_flow(TASKS, 0.1))),
    ("use a smooth loss, of SVM loss='smooth_hinge'", lambda: certified(hinge("hinge"), "time_bound").note,
     lambda: "kinks" not in certified(hinge("smooth_hinge"), "time_bound").note),
    ("no theorem applies; use loss='smooth_hinge'", lambda: str(theory.constants(hinge("hinge"))),
     lambda: np.inf > theory.constants(hinge("smooth_hinge")).L),
    ("give the family hvps= or hessians=", lambda: certified(callables(), "time_bound").note,
     lambda: "hvps" not in certified(products(), "time_bound").note),
    ("constants need Hessian-vector products; give the family hvps= or hessians=",
     lambda: theory.constants(callables(), BALL),
     lambda: (theory.constants(callables(hvps=lambda i, w, v: 2.0 * v), BALL), theory.constants(products(), BALL))),
    ("pass a w0= inside their domain", lambda: theory.certify(LOG, 0.01), lambda: theory.certify(LOG, 0.01, w0=[1.5])),
    ("pass a w0= inside their domain", lambda: theory.certify(LOG, 0.01, w0=[-1.0]),
     lambda: theory.certify(LOG, 0.01, w0=[1.5])),
    ("not finite at w0; pass a w0 inside their domain",
     lambda: certified(LOG, "time_bound", w0=[-1.0], constants=theory.constants(LOG, theory.Interval(1.0, 2.0))).note,
     lambda: "domain" not in certified(
         LOG, "time_bound", w0=[1.5], constants=theory.constants(LOG, theory.Interval(1.0, 2.0))).note),
    ("beyond the range of floats; multiply the losses and the tolerances by a large number and divide alpha by it",
     lambda: certified(mo.tasks.Quadratic([[[1e-308]]], [[1.0]]), "time_bound", 0.1, w0=[0.0]).note,
     lambda: certified(mo.tasks.Quadratic([[[1e-208]]], [[1e100]]), "time_bound", 1e-101, w0=[0.0], tol=1e92).holds),
    ("pass w0= to have a time", lambda: certified(TASKS, "time_bound").note,
     lambda: certified(TASKS, "time_bound", w0=W).bound > 0),
    ("pass w0= and switch_tol= to have a time", lambda: certified(TASKS, "bimaml_time").note,
     lambda: certified(TASKS, "bimaml_time", w0=W, switch_tol=0.1).bound > 0),
    ("^pass w0=$", lambda: certified(TASKS, "iteration_bound").note,
     lambda: certified(TASKS, "iteration_bound", w0=W).bound > 0),
    (r"pass maml_ode.theory.constants\(tasks, region\) of these tasks",
     lambda: theory.certify(TASKS, 0.1, constants=theory.constants(WAVES)),
     lambda: theory.certify(TASKS, 0.1, constants=mo.theory.constants(TASKS, BALL))),
    ("not strongly convex here; use a Ball",
     lambda: theory.constants(mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 0.0]]], [[1.0, 0.0]]), theory.Sublevel(1.0)),
     lambda: theory.constants(mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 0.0]]], [[1.0, 0.0]]), BALL)),
    ("pass region=, a Ball about the points of interest", lambda: theory.constants(products()),
     lambda: theory.constants(products(), region=theory.Ball([0.0, 0.0], 0.5))),
    ("the search was ended after .* s; max_seconds allows more", lambda: note_of(lambda: many(WAVES, max_seconds=1e-9)),
     lambda: many(WAVES, max_seconds=60).count == 7),
    ("is not separated from 0; move it", lambda: note_of(lambda: many(TASKS_1, interval=(-1.0, 1.0))),
     lambda: many(TASKS_1, interval=(-1.0, 1.5)).count == 1),
    ("local_certificate needs only its constants", lambda: many(SQUARE, interval=(-1.0, 1.0)),
     lambda: near_a_point.local_certificate(
         mo.tasks.LinearRegression([[[1.0]]], [[1.0]]), 0.1, [1.0], mu_i=[2.0], L_i=[2.0], kappa_i=[0.0]).unique),
    ("local_certificate works in every dimension", lambda: many(TASKS, interval=(-1.0, 1.0)),
     lambda: near_a_point.local_certificate(
         TASKS, 0.1, np.linalg.solve(H[0], B[0]), mu_i=[0.79], L_i=[2.21], kappa_i=[0.0]).unique),
    ("a Quantity is immutable; build a new one to change",
     lambda: setattr(theory.Quantity(1.0), "note", "new"), lambda: theory.Quantity(1.0, note="new").note == "new"),
    ("a trajectory of a single point has no derivative; give flow=",
     lambda: theory.lyapunov(energy, START), lambda: agrees(theory.lyapunov(energy, START, flow=FLOW))),
    ("dE/dt needs flow=, whose field is then followed, or a trajectory solved with dense_output=True",
     lambda: theory.lyapunov(energy, RUN),
     lambda: all(agrees(found) for found in (theory.lyapunov(energy, RUN, flow=FLOW), theory.lyapunov(energy, DENSE)))),
    *((r"this one has .*; pass mo.MAMLLoss\(tasks, alpha\)",
       (lambda given=given: theory.decompose(mo.MAMLLoss(TASKS, 0.1, **given), W)),
       lambda: np.allclose(theory.decompose(mo.MAMLLoss(TASKS, 0.1), W).field, -STEP @ STEP @ SLOPE, rtol=1e-13))
      for given in ({"inner_steps": 2}, {"query": STIFF})),
    # formulas
    ("remove it from the declarations, or write",
     lambda: symbolic("w**2", "w", p=[1.0]),
     lambda: (value("w**2"), value(re.search(r"write (\+ 0\*p)", str(refusal(lambda: symbolic("w**2", "w", p=[1.0]))))
                                   .expand(r"w**2 \1"), p=[1.0]))),
    ("is no name; use letters, digits and _, as in w_1", lambda: symbolic("w**2", "w-1"), lambda: value("w_1**2", "w_1")),
    ("is the name of a function; choose another", lambda: symbolic("sin**2", "sin"), lambda: value("sine**2", "sine")),
    ("not found within .* simplify it, raise maml_ode.tasks.symbolic.source.MAX_SECONDS, or write the derivatives by hand",
     lambda: slow(-1.0), lambda: slow(60.0) and OWN([1.0])[0] == 1.0),
    ("operations; simplify it, raise maml_ode.tasks.symbolic.source.MAX_OPERATIONS, or write the derivatives by hand",
     lambda: short(3), lambda: (short(10_000), short(20, "w**2"), OWN([1.0]))),
    ("characters, but it has .*; use from_callables for a loss of that size", lambda: symbolic("w" + " " * 10_000),
     lambda: OWN([1.0])),
    ("numbers, names and operations; use from_callables for a loss of that size", lambda: symbolic(long_sum(1100)),
     lambda: OWN([1.0])),
    ("deep; use from_callables for a loss of that size", lambda: symbolic(deep_sum(130)), lambda: OWN([1.0])),
    ("write \\*\\* for powers, and plain letters and digits", lambda: symbolic("w²"), lambda: value("w**2")),
    ("write \\*\\* for powers", lambda: symbolic("w^2"), lambda: value("w**2")),
    ("write \\* for a product", lambda: symbolic("2w"), lambda: value("2*w")),
    ("cannot be told apart; rename one of them", lambda: symbolic(w_ + sp.Dummy("w"), [w_]),
     lambda: symbolic(w_ + sp.Symbol("z"), [w_, "z"]).losses([1.0, 2.0])),
    ("real number anywhere; look for a wrong sign", lambda: symbolic("log(-w**2 - 1)"), lambda: value("log(w**2 + 1)")),
    ("infinite or not a number; look for a division by zero", lambda: symbolic("w/0"), lambda: value("w/2")),
    ("is not a real number; look for a root or logarithm of a negative number", lambda: symbolic("w + sqrt(-2)"),
     lambda: value("w + sqrt(2)")),
    # what is not smooth, or has another name
    *((re.escape(f"write {advice} with a small s"), (lambda text=text, names=names: symbolic(text, names)),
       (lambda text=text, advice=advice, names=names: near(text, advice, names)))
      for text, advice, names in (
          ("abs(x)", "sqrt(x**2 + s**2)", "x"), ("fabs(x)", "sqrt(x**2 + s**2)", "x"), ("sign(x)", "tanh(x/s)", "x"),
          ("heaviside(x)", "(1 + tanh(x/s))/2", "x"), ("relu(x)", "(x + sqrt(x**2 + s**2))/2", "x"),
          ("max(x)", "(x + y + sqrt((x - y)**2 + s**2))/2", "x y"),
          ("min(x)", "(x + y - sqrt((x - y)**2 + s**2))/2", "x y"))),
    *(("write one smooth formula", (lambda name=name: symbolic(f"{name}(w)")), lambda: value("sin(w)"))
      for name in ("floor", "ceil", "ceiling", "round", "piecewise")),
    *((words, (lambda text=text: symbolic(text)), (lambda other=other: value(other)))
      for words, text, other in (
          ("is called log here", "ln(w)", "log(w)"), ("is called logistic here", "sigmoid(w)", "logistic(w)"),
          ("is called logistic here", "expit(w)", "logistic(w)"),
          ("is called logsumexp here", "logaddexp(w)", "logsumexp(w, 1)"),
          (r"is written log\(1 \+ x\) here", "log1p(w)", "log(1 + w)"),
          (r"is written exp\(x\) - 1 here", "expm1(w)", "exp(w) - 1"),
          (r"is written 1/cosh\(x\) here", "sech(w)", "1/cosh(w)"),
          (r"is written x\*\*y here", "pow(w)", "w**2"))),
    *((r"is not evaluated; call \.doit\(\) first", (lambda e=e: symbolic(e)), (lambda e=e: symbolic(e.doit()).losses([0.5])))
      for e in (sp.Derivative(w_**3, w_), sp.Integral(w_**2, w_))),
    # the command line
    ("--redraw computes nothing and --fresh computes all; choose one",
     lambda: command("reproduce", "--redraw", "--fresh"), lambda: command("reproduce", "--help")),
    ("use --seed", lambda: command("solve", "linear_regression", "--set", "seed=3"),
     lambda: command("solve", "linear_regression", "--seed", "3", "--t-max", "0.1", "--json")),
    *(("name a package.module:function whose Experiment has inner_steps=1 and no query=",
       (lambda name=name: command("certify", f"{__name__}:{name}")),
       lambda: "Quadratic tasks" in command("certify", f"{__name__}:one_own_step"))
      for name in ("two_steps", "other_losses")),
    *((r"write range\(b\), range\(a,b\), range\(a,b,step\) with integers, or linspace\(a,b,n\) and geomspace\(a,b,n\) with n an",
       (lambda bad=bad: swept(bad)), (lambda good=good, points=points: swept(good) == points))
      for bad, good, points in (
          ("x=range(1.5)", "x=range(2)", [0, 1]), ("x=range(1,2,1,1)", "x=range(1,3)", [1, 4]),
          ("x=range(a,3)", "x=range(0,6,2)", [0, 4, 16]), ("x=linspace(0,1)", "x=linspace(0,1,3)", [0, 0.25, 1]),
          ("x=geomspace(1,100,2.5)", "x=geomspace(1,4,3)", [1, 4, 16]))),
    ("--grid gives the same name twice; put its values into one option", lambda: swept("x=1", "x=2"),
     lambda: swept("x=1,2") == [1, 4]),
    ("kept in an .npz file; name one, such as", lambda: command("solve", "figure1", "--save", "run.csv"), lambda: True),
]  # fmt: skip
TASKS_1 = mo.tasks.Quadratic([[[1.0]]], [[1.0]])


def refusal(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return caught.value


def near(text, advice, names):
    """The smooth formula is within 2 s of what was meant, at points away from the kink and near it."""
    meant = {
        "abs": abs, "fabs": abs, "sign": np.sign, "heaviside": lambda x: float(x > 0), "relu": lambda x: max(x, 0.0),
        "max": max, "min": min,
    }[text.partition("(")[0]]  # fmt: skip
    s, tasks = 1e-3, symbolic(advice.replace("s**2", "0.001**2").replace("/s", "/0.001"), names)
    for point in ([-0.7, 0.4], [1.2, -3.0], [0.5, 0.49]):
        w = point[: tasks.dim]
        assert abs(tasks.losses(w)[0] - meant(*w)) <= 2 * s
        assert np.isfinite(tasks.hessians(w)).all()
    return True


@pytest.mark.parametrize(("words", "told", "advised"), TABLE, ids=[row[0][:40] for row in TABLE])
def test_what_is_advised_works(words, told, advised):
    try:
        text = told()
    except (TypeError, ValueError, AttributeError) as error:
        text = str(error)
    assert isinstance(text, str)
    assert re.search(words, text), text
    found = advised()
    assert found is None or np.all(found if isinstance(found, (bool, np.bool_)) else True)


def test_save_takes_the_name_that_is_suggested(tmp_path):
    told = refusal(lambda: command("solve", "figure1", "--save", str(tmp_path / "run.csv")))
    suggested = re.search(r"such as (.*\.npz)", str(told)).group(1).replace(" ", "")
    command("solve", "figure1", "--alpha", "0.1", "--t-max", "0.1", "--save", suggested, "--json")
    assert mo.Trajectory.load(suggested).t[-1] > 0


VERBS = (
    "pass|use|write|convert|give|leave|remove|replace|build|divide|multiply|put|fetch|name|run|rename|look|call"
    "|choose|move|simplify|raise"
)
ADVICE = re.compile(
    rf"(?:^|[;:,] )(?:or |and |so )?(?:{VERBS}) \S|\bneeds \w+=|allows more|is written \S|is called \S+ here"
    "|local_certificate \\w"
)
# Followed by another test: of nothing to redraw and of --check by those of the command line and of reproduce; of a proof that is ended, as of a search.
ELSEWHERE = (
    "run without (--)?redraw",
    "the proof was ended after",
    "its derivatives hold the constant",
    "--check compares what is there",
)


def test_every_advice_is_followed_here():
    known = [re.compile(words) for words, *_ in TABLE] + [re.compile(words) for words in ELSEWHERE]
    unknown, found = [], 0
    for room in ("theory", "tasks/symbolic", "cli"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for sentence in sentences(path):
                if ADVICE.search(sentence):
                    found += 1
                    if not any(words.search(sentence) for words in known):
                        unknown.append(f"{path.relative_to(ROOT)}: {sentence}")
    assert found > 60
    assert not unknown, "\n".join(unknown)


def test_critical_points_are_counted_where_an_interval_is_given():
    with pytest.raises(ValueError, match="interval must be given"):
        critical_points.count_critical_points(LOG, 0.01)
    assert critical_points.count_critical_points(LOG, 0.01, (0.5, 2.0)).count == 1

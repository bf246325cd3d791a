"""The public entrances: how each is called, which argument is what, and what a call comes to.

A new entrance is one line in ``ENTRANCES``: a name, a function of keyword arguments, good values for them, and
the kind of each argument that is to be tried:

    real       one real number                  points     an array of real numbers
    data       real numbers or booleans         count      an integer
    other      anything else: only the manner of refusal is looked at
"""

import math
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np

import maml_ode as mo
from maml_ode.fields import CallableField, FirstOrderField, GradientField, ReptileField
from maml_ode.flows.switch_rules import GradientNormBelow, OnlineSwitch
from maml_ode.theory import Ball, Interval, Sublevel

H1, B1 = [[[2.0]], [[4.0]]], [[2.0], [-4.0]]
H2 = [[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]]]
B2 = [[1.0, 0.0], [0.5, -1.0]]
X2 = [[[1.0, 0.5], [0.0, 1.0]], [[0.5, -1.0], [1.0, 1.0]]]
Y2 = [[1.0, -1.0], [-1.0, 1.0]]
W2, V2 = [0.3, -0.2], [1.0, 0.5]


@dataclass(frozen=True)
class Entrance:
    """A public function, good arguments, and the kinds of those that are tried."""

    name: str
    call: object
    good: dict
    kinds: dict
    # What the sentence may call an argument, if not by its name in ``good``.
    called: dict = field(default_factory=dict)
    # Whether numbers of any size are tried: their squares overflow, and not all rooms stay silent then.
    extremes: bool = True


def callbacks(**changed):
    kinds = {
        "losses": lambda i, w: 0.5 * float(math.fsum(np.minimum(np.abs(w), 1e150) ** 2)),
        "gradients": lambda i, w: 1.0 * w,
        "hessians": lambda i, w: np.eye(2),
        "hvps": lambda i, w, v: 1.0 * v,
        "thirds": lambda i, w, v: np.zeros((2, 2)),
        "third_vectors": lambda i, w, v, q: np.zeros(2),
    }
    return mo.tasks.from_callables(**{**kinds, "n_tasks": 2, "dim": 2, **changed})


FAMILIES = {
    "Quadratic d=1": mo.tasks.Quadratic(H1, B1),
    "Quadratic": mo.tasks.Quadratic(H2, B2),
    "LinearRegression": mo.tasks.LinearRegression(X2, Y2),
    "LogisticRegression": mo.tasks.LogisticRegression(X2, Y2, l2=0.1),
    "SVM": mo.tasks.SVM(X2, Y2, loss="smooth_squared_hinge"),
    "Sinusoid": mo.tasks.Sinusoid([0.5, 0.5], [1.0, 0.1], [1.0, 3.0]),
    "from_callables": callbacks(),
}
QUADRATIC, LOGISTIC = FAMILIES["Quadratic"], FAMILIES["LogisticRegression"]
MAML = mo.MAMLLoss(LOGISTIC, 0.1)
CONCAVE = mo.tasks.Quadratic([[[-1.0]]], [[1.0]])  # to which no limit on alpha applies


def facts(family):
    """What a family says at one point, so that two families may be compared."""
    w = np.full(family.dim, 0.5)
    return np.concatenate([family.weights, family.losses(w), family.gradients(w).ravel()])


def flow_facts(flow):
    w = np.full(flow.dim, 0.5)
    rules = [phase.until for phase in flow.phases if phase.until is not None]
    return np.concatenate(
        [*(phase.field(w) for phase in flow.phases), [rule(0.0, w) for rule in rules]]
    )


def run_facts(run):
    return np.concatenate([run.t, run.y.ravel()])


def experiment_facts(problem):
    numbers = (*np.ravel(problem.alpha), problem.beta, problem.switch_tol, problem.n_steps)
    return np.concatenate([problem.w0, numbers, facts(problem.tasks)])


def build(make, read=facts):
    return lambda **arguments: read(make(**arguments))


def evaluate(subject, method):
    return lambda **arguments: getattr(subject, method)(*arguments.values())


def returned(name):
    """A family one of whose functions returns what it is told to, evaluated."""
    at = {"losses": 1, "gradients": 1, "hessians": 1, "hvps": 2, "thirds": 2, "third_vectors": 3}
    evaluation = "third" if name == "thirds" else name

    def call(result):
        family = callbacks(**{name: lambda i, *points: result})
        return getattr(family, evaluation)(*[[0.3, -0.2]] * at[name])

    return call


def constructors():
    data = {"X": "data", "y": "data", "weights": "points?", "reduction": "other"}
    settings = {"X": X2, "y": Y2, "weights": None, "reduction": "mean"}
    yield Entrance(
        "Quadratic",
        build(mo.tasks.Quadratic),
        {"H": H2, "b": B2, "c": None, "weights": [0.25, 0.75]},
        {"H": "points", "b": "points", "c": "points?", "weights": "points?"},
    )
    yield Entrance("LinearRegression", build(mo.tasks.LinearRegression), settings, data)
    yield Entrance(
        "LogisticRegression",
        build(mo.tasks.LogisticRegression),
        {**settings, "l2": 0.1},
        {**data, "l2": "real"},
    )
    yield Entrance(
        "SVM",
        build(mo.tasks.SVM),
        {**settings, "loss": "smooth_hinge", "smoothing": 0.1, "l2": 0.1},
        {**data, "loss": "other", "smoothing": "real", "l2": "real"},
    )
    rows = {"X": np.ravel(X2).reshape(4, 2), "y": np.ravel(Y2), "groups": [1, 1, 2, 2]}
    options = {"weights": "uniform", "fit_intercept": True, "standardize": True}
    for family in (mo.tasks.LinearRegression, mo.tasks.LogisticRegression, mo.tasks.SVM):
        yield Entrance(
            f"{family.__name__}.from_table",
            build(family.from_table),
            {**rows, **options},
            {"X": "data", "y": "data", "groups": "other", **dict.fromkeys(options, "other")},
            {"X": "X|column|group"},
            extremes=False,
        )
    yield Entrance(
        "LogisticRegression, intercept",
        build(mo.tasks.LogisticRegression),
        {"X": X2, "y": Y2, "intercept": True},
        {"intercept": "other"},
    )
    yield Entrance(
        "subset",
        build(FAMILIES["LinearRegression"].subset),
        {"indices": [1, 0]},
        {"indices": "other"},
    )
    yield Entrance(
        "Sinusoid",
        build(mo.tasks.Sinusoid),
        {"a": [0.5, 0.5], "b": [1.0, 0.1], "omega": [1.0, 3.0], "weights": None},
        {"a": "points", "b": "points", "omega": "points", "weights": "points?"},
        {"a": "a|b"},
    )
    kinds = dict.fromkeys(
        ("losses", "gradients", "hessians", "hvps", "thirds", "third_vectors", "smoothness"),
        "other",
    )
    yield Entrance(
        "from_callables",
        build(callbacks, lambda family: [*family.weights, family.n_tasks, family.dim]),
        {},
        {**kinds, "weights": "points?", "n_tasks": "count", "dim": "count"},
    )
    for name in ("losses", "gradients", "hessians", "hvps", "thirds", "third_vectors"):
        good = {"losses": 1.0, "hessians": np.eye(2), "thirds": np.eye(2)}.get(name, np.ones(2))
        kind = "real" if name == "losses" else "points"
        called = {"result": f"{name} of task"}
        yield Entrance(
            f"what {name} return", returned(name), {"result": good}, {"result": kind}, called
        )


def evaluations():
    for name, family in FAMILIES.items():
        w, v = np.full(family.dim, 0.3), np.full(family.dim, -0.2)
        for method, points in (
            ("losses", {"w": w}),
            ("gradients", {"w": w}),
            ("hessians", {"w": w}),
            ("hvps", {"w": w, "v": v}),
            ("third", {"w": w, "v": v}),
            ("third_vectors", {"w": w, "v": v, "q": w}),
        ):
            kinds = dict.fromkeys(points, "points")
            yield Entrance(f"{name}.{method}", evaluate(family, method), points, kinds)
    for name, family in FAMILIES.items():
        w, v = np.full(family.dim, 0.3), np.full(family.dim, -0.2)
        quiet = {"extremes": family.problem is not None}
        for objective in (mo.ExpectedLoss(family), mo.MAMLLoss(family, 0.1, inner_steps=2)):
            label = f"{type(objective).__name__} of {name}"
            methods = {"value": {"w": w}, "gradient": {"w": w}, "hessian": {"w": w}}
            for method, points in {**methods, "hvp": {"w": w, "v": v}}.items():
                call, kinds = evaluate(objective, method), dict.fromkeys(points, "points")
                yield Entrance(f"{label}.{method}", call, points, kinds, **quiet)
            rows = {"points": np.array([w, v])}
            yield Entrance(
                f"{label}.values_and_gradient_norms",
                lambda points, F=objective: np.concatenate(F.values_and_gradient_norms(points)),
                rows,
                {"points": "points"},
            )
            for method in ("values", "gradients"):
                call = evaluate(objective, method)
                yield Entrance(f"{label}.{method}", call, rows, {"points": "points"})
        yield Entrance(
            f"{label}.adapt", evaluate(objective, "adapt"), {"w": w}, {"w": "points"}, **quiet
        )


def flows():
    alpha = {"tasks": "other", "alpha": "points", "inner_steps": "count"}
    good = {"tasks": LOGISTIC, "alpha": 0.1, "inner_steps": 2}
    yield Entrance(
        "MAMLLoss",
        lambda **arguments: mo.MAMLLoss(**arguments).gradient(W2),
        {**good, "query": None},
        {**alpha, "query": "other"},
    )
    yield Entrance(
        "ExpectedLoss",
        lambda tasks: mo.ExpectedLoss(tasks).gradient(W2),
        {"tasks": LOGISTIC},
        {"tasks": "other"},
    )
    for name in ("maml_flow", "fomaml_flow", "reptile_flow"):
        yield Entrance(name, build(getattr(mo, name), flow_facts), good, alpha)
    yield Entrance(
        "bimaml_flow",
        build(mo.bimaml_flow, flow_facts),
        {**good, "switch_tol": 0.1, "rule": "one_way", "switch": "tolerance", "cost_ratio": 3.0},
        {**alpha, "switch_tol": "real", "rule": "other", "switch": "other", "cost_ratio": "real"},
    )
    yield Entrance(
        "bimaml_flow, auto",
        lambda **arguments: flow_facts(mo.bimaml_flow(**arguments, switch="auto")),
        {**good, "cost_ratio": 3.0},
        {**alpha, "cost_ratio": "real"},
    )
    yield Entrance(
        "gradient_flow",
        build(mo.gradient_flow, flow_facts),
        {"objective": MAML},
        {"objective": "other"},
    )
    yield Entrance(
        "modified_flow",
        build(mo.modified_flow, flow_facts),
        {"objective": MAML, "step_size": 0.1},
        {"objective": "other", "step_size": "real"},
    )
    yield Entrance(
        "Flow",
        build(mo.Flow, flow_facts),
        {"phases": [mo.Phase(MAML)], "objective": MAML, "rule": "one_way", "name": "own"},
        dict.fromkeys(("phases", "objective", "rule", "name"), "other"),
    )
    yield Entrance(
        "Phase",
        lambda **arguments: mo.Phase(**arguments).field(np.array(W2)),
        {"field": MAML, "until": lambda t, w: 1.0 - t, "then": 0},
        {"field": "other", "until": "other", "then": "count?"},
    )
    yield Entrance(
        "GradientNormBelow",
        lambda **arguments: GradientNormBelow(**arguments)(0.0, W2),
        {"objective": MAML, "threshold": 0.1},
        {"objective": "other", "threshold": "real"},
        {"threshold": "switch_tol"},
    )
    yield Entrance(
        "OnlineSwitch",
        lambda **arguments: OnlineSwitch(**arguments)(0.0, W2),
        {"tasks": LOGISTIC, "alpha": 0.1, "divisor": 1.4},
        {"tasks": "other", "alpha": "real", "divisor": "real"},
    )
    yield Entrance(
        "CallableField",
        lambda **arguments: [CallableField(**arguments).dim],
        {"function": lambda w: -w, "dim": 2, "jacobian": lambda w: -np.eye(2), "label": "own"},
        {"function": "other", "dim": "count", "jacobian": "other", "label": "other"},
    )
    yield Entrance(
        "what a field's function returns",
        lambda result: CallableField(lambda w: result, 2)(np.array(W2)),
        {"result": [1.0, 2.0]},
        {"result": "points"},
        {"result": "result|the field"},
    )
    yield Entrance(
        "what a field's jacobian returns",
        lambda result: CallableField(lambda w: -w, 2, lambda w: result).jacobian(np.array(W2)),
        {"result": [[1.0, 2.0], [0.0, 1.0]]},
        {"result": "points"},
        {"result": "result|Jacobian"},
    )
    fields = (GradientField(MAML), FirstOrderField(LOGISTIC, 0.1), ReptileField(QUADRATIC, 0.1, 2))
    for one in (*fields, CallableField(lambda w: -w, 2)):
        name = f"{type(one).__name__}()"
        yield Entrance(name, lambda w, v=one: v(w), {"w": W2}, {"w": "points"})


def upper_rooms():
    def slopes(**arguments):
        return np.array(list(mo.check_derivatives(**arguments).errors.values()))

    yield Entrance(
        "check_derivatives",
        slopes,
        {"tasks_or_objective": QUADRATIC, "w": W2, "rng": 0},
        {"tasks_or_objective": "other", "w": "points?", "rng": "count?"},
    )
    constants = {"alpha": "real", "beta": "real", "switch_tol": "real", "n_steps": "count"}
    good = {"alpha": 0.1, "beta": 0.1, "switch_tol": 1.0, "n_steps": 10}
    choices = dict.fromkeys(("name", "rule"), "other")
    yield Entrance(
        "experiments.load, figure1",
        build(mo.experiments.load, experiment_facts),
        {"name": "figure1", "seed": 0, **good, "w0": 1.0, "rule": "one_way"},
        {
            "seed": "count",
            **constants,
            "alpha": "points",
            "switch_tol": "real?",
            **choices,
            "w0": "points?",
        },
        {"name": "experiment"},
    )
    yield Entrance(
        "experiments.load, diabetes",
        build(mo.experiments.load, experiment_facts),
        {"name": "diabetes", "seed": 0, **good, "w0": None, "reduction": "sum"},
        {
            "seed": "count",
            **constants,
            "switch_tol": "real?",
            "w0": "points?",
            "reduction": "other",
        },
    )
    yield Entrance(
        "experiments.load, linear_regression",
        build(mo.experiments.load, experiment_facts),
        {"name": "linear_regression", "seed": 0, **good, "w0": None, "generator": "numpy"},
        {
            "seed": "count",
            **constants,
            "switch_tol": "real?",
            "w0": "points?",
            "generator": "other",
        },
    )

    yield Entrance(
        "Experiment",
        build(mo.Experiment, experiment_facts),
        {"tasks": QUADRATIC, **good, "w0": W2, "rule": "one_way", "name": "own", "seed": 3},
        {
            "tasks": "other",
            **constants,
            "alpha": "points",
            "beta": "real?",
            "switch_tol": "real?",
            "w0": "points?",
            "rule": "other",
            "name": "other",
            "seed": "count?",
            "notes": "other",
            "title": "other",
            "quoted_saving": "real?",
        },
    )


def regions():
    yield Entrance(
        "Ball",
        lambda center, radius, w: [Ball(center, radius).contains(w)],
        {"center": W2, "radius": 1.0, "w": W2},
        {"center": "points", "radius": "real", "w": "points"},
        {"center": "center|w"},
    )
    yield Entrance(
        "Interval",
        lambda lower, upper, w: [Interval(lower, upper).contains(w)],
        {"lower": -1e308, "upper": 1e308, "w": 0.5},
        {"lower": "real", "upper": "real", "w": "points"},
    )
    yield Entrance(
        "Sublevel", lambda level: [Sublevel(level).level], {"level": 1.0}, {"level": "real"}
    )
    yield Entrance(
        "theory.constants",
        lambda **arguments: [mo.theory.constants(**arguments).L.value],
        {"tasks": QUADRATIC, "region": Ball(W2, 1.0)},
        {"tasks": "other", "region": "other"},
    )


def statements():
    tug = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    k = mo.theory.constants(LOGISTIC)
    yield Entrance(
        "certify",
        lambda **given: [item.bound or 0.0 for item in mo.theory.certify(**given)],
        {
            "tasks": tug,
            "alpha": 0.1,
            "w0": [1.0],
            "switch_tol": 0.5,
            "tol": 1e-6,
            "constants": None,
        },
        {
            "tasks": "other",
            "alpha": "points",
            "w0": "points?",
            "switch_tol": "real?",
            "tol": "real",
            "constants": "other",
        },
    )
    interval = {"interval": "points?"}
    yield Entrance(
        "count_critical_points",
        lambda **given: mo.theory.count_critical_points(**given).points,
        {"tasks": FAMILIES["Quadratic d=1"], "alpha": 0.1, "interval": (-9.0, 9.0)},
        {"tasks": "other", "alpha": "points", **interval},
        {"interval": "interval|lower"},
    )
    yield Entrance(
        "bifurcation_table",
        lambda **given: [len(item.points) for item in mo.theory.bifurcation_table(**given)],
        {"tasks": FAMILIES["Quadratic d=1"], "alphas": [0.1, 0.2], "interval": (-9.0, 9.0)},
        {"tasks": "other", "alphas": "points", **interval},
        {"alphas": "alphas?", "interval": "interval|lower"},
    )
    yield Entrance(
        "switch_advice",
        lambda **given: [mo.theory.switch_advice(**given).switch_tol or 0.0],
        {"tasks": tug, "alpha": 0.1, "cost_ratio": 3.0, "step_size": 0.1, "start": [1.0]},
        {"alpha": "points", "cost_ratio": "real", "step_size": "real?", "start": "points?"},
        {"alpha": "alpha|step_size|Hess F"},
    )
    yield Entrance(
        "alpha_limits",
        lambda **given: [item.value for item in mo.theory.alpha_limits(**given)],
        {"constants": mo.theory.constants(CONCAVE), "switch_tol": 0.1, "K": 1.0},
        {"constants": "other", "switch_tol": "real?", "K": "real?"},
    )
    yield Entrance(
        "step_size_limit",
        lambda **given: [mo.theory.step_size_limit(**given).value],
        {"objective": MAML, "where": W2, "constants": k},
        {"objective": "other", "where": "points", "constants": "other"},
    )
    yield Entrance(
        "monitor",
        lambda **given: mo.theory.monitor(**given).grad_bound,
        {"trajectory": short_run(), "tasks": LOGISTIC, "alpha": 0.1, "constants": k},
        {"trajectory": "other", "tasks": "other", "alpha": "points", "constants": "other"},
    )


def readings():
    def update(w):
        return w - 0.1 * MAML.gradient(w)

    yield Entrance(
        "identify_update",
        lambda **given: [distance for _, distance in mo.identify_update(**given).rows],
        {"update": update, "tasks": LOGISTIC, "alpha": 0.1, "step_size": 0.1, "w": W2},
        {
            **dict.fromkeys(("tasks", "query"), "other"),
            "alpha": "points",
            "step_size": "real",
            "w": "points?",
            "inner_steps": "count",
        },
        extremes=False,
    )
    yield Entrance(
        "identify_update, what is returned",
        lambda result: mo.identify_update(lambda w: result, LOGISTIC, 0.1, 0.1, w=W2).rows[0][1:],
        {"result": [0.2, 0.1]},
        {"result": "points"},
        {"result": r"update\(w\)"},
        extremes=False,
    )
    yield Entrance(
        "meta_test",
        lambda **given: mo.meta_test(**given).losses,
        {"w": W2, "tasks": LOGISTIC, "alpha": 0.1, "steps": 2, "query": None},
        {"w": "points", "alpha": "points", "steps": "count", "tasks": "other", "query": "other"},
    )
    curve = mo.meta_test(W2, LOGISTIC, 0.1, 2)
    yield Entrance("interval", curve.interval, {"level": 0.9}, {"level": "real"})
    yield Entrance(
        "closed_form",
        lambda **given: mo.closed_form(**given).lambdify()(W2)[1],
        {"tasks_or_objective": QUADRATIC},
        {"tasks_or_objective": "other"},
    )
    yield Entrance(
        "closed_form, its function",
        lambda w: mo.closed_form(QUADRATIC).lambdify()(w)[1],
        {"w": W2},
        {"w": "points"},
    )
    yield Entrance(
        "decompose",
        lambda **given: mo.theory.decompose(**given).field,
        {"objective": MAML, "w": W2},
        {"objective": "other", "w": "points"},
    )
    yield Entrance(
        "lyapunov",
        lambda **given: mo.theory.lyapunov(**given).derivative,
        {
            "candidate": lambda w: w @ w,
            "trajectory": short_run(),
            "gradient": lambda w: 2.0 * w,
            "flow": mo.maml_flow(LOGISTIC, 0.1),
        },
        dict.fromkeys(("trajectory", "flow"), "other"),
    )
    for name, build_one in (
        ("ExpectedLoss", lambda aggregate: mo.ExpectedLoss(QUADRATIC, aggregate)),
        ("MAMLLoss", lambda aggregate: mo.MAMLLoss(QUADRATIC, 0.1, aggregate=aggregate)),
    ):
        yield Entrance(
            f"{name}, aggregate",
            lambda aggregate, build_one=build_one: build_one(aggregate).gradient(W2),
            {"aggregate": "auto"},
            {"aggregate": "other"},
        )


def short_run():
    return mo.solve(mo.maml_flow(LOGISTIC, 0.1), W2, t_max=1.0)


def verbs():
    yield Entrance(
        "solve",
        build(mo.solve, run_facts),
        {
            "flow": mo.maml_flow(LOGISTIC, 0.1),
            "w0": W2,
            "tol": 1e-6,
            "t_max": 0.5,
            "method": "Tsit5",
            "rtol": 1e-4,
            "atol": 1e-6,
            "max_steps": 9,
            "diagnostics": False,
        },
        {
            "flow": "other",
            "w0": "points",
            "tol": "real",
            "t_max": "real",
            "atol": "real?",
            "max_steps": "count",
            "max_seconds": "real?",
            "max_evaluations": "count?",
            "energy": "other",
            "sliding": "other",
            "method": "other",
            "diagnostics": "other",
            "dense_output": "other",
        },
    )
    yield Entrance(
        "euler, sampled",
        build(mo.euler, run_facts),
        {
            "flow": mo.maml_flow(LOGISTIC, 0.1),
            "w0": W2,
            "step_size": 0.1,
            "max_iter": 3,
            "diagnostics": False,
            "tasks_per_step": 1,
            "rng": 0,
        },
        {"tasks_per_step": "count?", "rng": "count?"},
    )
    yield Entrance(
        "euler",
        build(mo.euler, run_facts),
        {
            "flow": mo.maml_flow(LOGISTIC, 0.1),
            "w0": W2,
            "step_size": 0.1,
            "max_iter": 3,
            "diagnostics": False,
        },
        {
            "flow": "other",
            "w0": "points",
            "step_size": "real",
            "tol": "real",
            "max_iter": "count",
            "record_every": "count",
            "rule": "other",
        },
    )


def pictures():
    def drawn(make, **arguments):
        try:
            return np.concatenate([line.get_xydata() for line in make(**arguments)[0].get_lines()])
        finally:
            plt.close("all")

    run = short_run()
    yield Entrance(
        "plot_trajectories",
        lambda **given: drawn(mo.plotting.plot_trajectories, **given),
        {"trajectories": [run], "x": "iteration", "step_size": 0.1},
        {
            **dict.fromkeys(("trajectories", "ax", "labels", "show", "x", "styles"), "other"),
            "step_size": "real",
        },
    )
    yield Entrance(
        "plot_trajectory",
        lambda **given: drawn(mo.plotting.plot_trajectory, **given),
        {"trajectory": run},
        dict.fromkeys(("trajectory", "label"), "other"),
    )


ENTRANCES = [
    *constructors(),
    *evaluations(),
    *flows(),
    *upper_rooms(),
    *regions(),
    *statements(),
    *readings(),
    *verbs(),
    *pictures(),
]

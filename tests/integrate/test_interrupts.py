"""Whatever ends a run, what was computed comes back: interrupts at every evaluation, and at any moment."""

import sys
import time

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField

TIGHT = {"tol": 1e-6, "t_max": 3.0}
VERBS = {
    "euler": lambda flow, w0: mo.euler(flow, w0, 0.1, max_iter=15),
    "auto": lambda flow, w0: mo.solve(flow, w0, **TIGHT),
    "DOP853": lambda flow, w0: mo.solve(flow, w0, method="DOP853", t_eval=[0.0, 1.0], **TIGHT),
    "Rodas5P": lambda flow, w0: mo.solve(flow, w0, method="Rodas5P", energy="enforce", **TIGHT),
    "LSODA": lambda flow, w0: mo.solve(flow, w0, method="LSODA", energy="integrate", **TIGHT),
    "RKC2": lambda flow, w0: mo.solve(flow, w0, method="RKC2", tol=1e-2, max_seconds=100.0),
}


class Keyboard:
    """Presses Ctrl-C in the n-th evaluation of a family."""

    def __init__(self, family):
        self.family, self.left, self.calls = family, np.inf, 0

    def __call__(self, name, rank):
        def evaluate(i, *points):
            self.calls += 1
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return getattr(self.family, name)(*points)[i]

        return evaluate

    def tasks(self):
        return mo.tasks.from_callables(
            self("losses", 0),
            self("gradients", 1),
            self("hessians", 2),
            self("hvps", 1),
            thirds=self("third", 2),
            third_vectors=self("third_vectors", 1),
            n_tasks=self.family.n_tasks,
            dim=self.family.dim,
        )


@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupt_in_any_evaluation_leaves_a_beginning_of_the_run(make_logistic, verb):
    family = make_logistic(M=2)
    keyboard = Keyboard(family)
    w0 = np.array([1.0, -1.0, 0.5])
    start = np.linalg.norm(family.weights @ family.gradients(w0))
    flow = mo.bimaml_flow(keyboard.tasks(), 0.3, 0.8 * start)
    keyboard.calls = 0
    whole = VERBS[verb](flow, w0)
    assert whole.success
    assert whole.switch_times.size == 1
    total, seen = keyboard.calls, set()
    for n in {*range(1, 41), *np.linspace(1, total, 60).astype(int)}:
        keyboard.left = n
        run = VERBS[verb](flow, w0)
        keyboard.left = np.inf
        diagnosed = "Diagnostics are left out" in run.message
        assert diagnosed or run.stop is mo.StopReason.INTERRUPTED, (n, run.message)
        seen.add(diagnosed)
        k = len(run) - 1 if run.t[-1] not in whole.t else len(run)
        np.testing.assert_array_equal(run.t[:k], whole.t[:k])
        np.testing.assert_array_equal(run.y[:, :k], whole.y[:, :k])
        if diagnosed:
            assert run.stop is whole.stop
            assert len(run) == len(whole)
            assert np.isnan(run.loss).any() or run.energy is None
        elif verb != "euler":  # and it can be gone on with
            end = run.final_time + 0.5
            rest = mo.solve(flow, resume=run, tol=1e-9, t_max=end, diagnostics=False)
            assert rest.final_time == end
    assert seen == {True, False}


def test_an_interrupt_where_sensitivities_are_put_together_leaves_the_run(make_logistic):
    family = make_logistic(M=2)
    keyboard = Keyboard(family)
    flow, w0 = mo.maml_flow(keyboard.tasks(), 0.3), np.array([1.0, -1.0, 0.5])

    def run():
        return mo.solve(
            flow, w0, tol=0.1, rtol=1e-3, atol=1e-5, sensitivities=["w0"], diagnostics=False
        )

    keyboard.calls = 0
    whole = run()
    total, unread = keyboard.calls, 0
    for n in range(total - 12, total + 1):
        keyboard.left = n
        found = run()
        keyboard.left = np.inf
        k = min(len(found), len(whole)) - 1
        assert k > 2
        np.testing.assert_array_equal(found.y[:, :k], whole.y[:, :k])
        if found.sensitivities is None and found.stop is whole.stop:
            assert "Sensitivities are left out" in found.message
            unread += 1
        else:
            assert found.stop is mo.StopReason.INTERRUPTED
            if found.sensitivities is not None:  # by w0 at the time at which the key was pressed
                assert np.isnan(found.sensitivities["w0"].final_time).all()
    assert unread


class Moments:
    """Counts the lines of Python that run while a run is followed or finished, and presses Ctrl-C before one.

    What comes before (the arguments are read) and after (the result is handed over) is not counted.
    """

    INSIDE = (
        ("driver.py", "run"),
        ("record.py", "points"),
        ("diagnose.py", "diagnose"),
        ("assemble.py", "assemble"),
    )

    def __init__(self, press_at=None):
        self.press_at, self.count, self.depth = press_at, 0, 0
        self.pressed = False

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def __call__(self, frame, event, argument):
        entered = (frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name) in self.INSIDE
        self.depth += entered
        return self.outermost if entered else self.line

    def outermost(self, frame, event, argument):
        if event == "return":
            self.depth -= 1
            return None
        self.line(frame, event, argument)
        return self.outermost

    def line(self, frame, event, argument):
        if event == "line" and self.depth:
            self.count += 1
            if self.count == self.press_at:
                sys.settrace(None)
                self.pressed = True
                raise KeyboardInterrupt
        return self.line


@pytest.mark.parametrize("method", ["RK45", "Tsit5", "Rodas5P", "exact"])
def test_an_interrupt_at_any_moment_is_a_result(make_logistic, make_quadratic, method):
    """Ctrl-C between any two lines of a run: what was computed comes back, whatever the run was doing."""
    tasks = make_quadratic(d=3) if method == "exact" else make_logistic()
    flow, w0 = mo.bimaml_flow(tasks, 0.3, 0.2), np.ones(3)
    whole = mo.solve(flow, w0, method=method)
    with Moments() as moments:
        mo.solve(flow, w0, method=method)
    assert moments.count > 300
    rng = np.random.default_rng(0)
    stops = []
    for moment in {1, moments.count, *rng.integers(1, moments.count + 1, 60).tolist()}:
        with Moments(press_at=moment) as moments_of_this:
            run = mo.solve(flow, w0, method=method)
        if not moments_of_this.pressed:  # how many lines there are depends on the clock a little
            assert moment > 0.8 * moments.count
            continue
        assert run.y.shape[1] == run.t.size >= 1
        k = len(run) - 1
        np.testing.assert_array_equal(run.y[:, :k], whole.y[:, :k])
        assert np.isfinite(run.y).all()
        interrupted = run.stop is mo.StopReason.INTERRUPTED
        if not interrupted and "Diagnostics are left out" not in run.message:
            # Everything was there already.
            assert (run.stop, len(run)) == (whole.stop, len(whole))
            assert np.isfinite(run.loss).all()
        stops.append(interrupted)
    assert len(stops) > 40
    assert set(stops) == {True, False}


def test_the_time_limit_covers_the_diagnostics():
    def slow(w):
        time.sleep(0.002)
        return 0.5 * float(w @ w)

    def slow_gradient(w):
        time.sleep(0.002)
        return w

    tasks = mo.tasks.from_callables([slow], [slow_gradient], n_tasks=1, dim=1)
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    began = time.perf_counter()
    run = mo.solve(flow, [1.0], max_seconds=1.0, method="RK23", rtol=1e-9, atol=1e-12)
    took = time.perf_counter() - began
    assert run.stop is mo.StopReason.TIME_LIMIT
    assert took < 1.5  # the diagnostics of the path alone would take 2 s more
    assert len(run) > 5
    # Most of the path is judged; how much, the price of an evaluation decides, which a crowded machine raises.
    assert np.isfinite(run.loss).mean() > 0.5


def test_an_interrupted_solver_set_up_leaves_the_start():
    def press(w):
        raise KeyboardInterrupt

    objective = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    run = mo.solve(mo.Flow([mo.Phase(CallableField(press, 1))], objective), [2.0], t_max=1.0)
    assert run.stop is mo.StopReason.INTERRUPTED
    assert run.w == [2.0]
    assert run.t == [0.0]

"""What an ensemble says of its members, and what it keeps when it is ended."""

import io
import os
import pickle
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.integrate.ensembles.basins import clusters
from maml_ode.integrate.ensembles.members import Members
from maml_ode.integrate.ensembles.request import Request
from maml_ode.integrate.ensembles.watch import OutOfTime, Watch

ARRAYS = (
    "W0", "w", "t", "stop", "success", "loss", "grad_norm", "switch_times", "steps", "rejected",
)  # fmt: skip


@pytest.fixture(scope="module")
def flow():
    tasks = mo.tasks.Sinusoid([0.5, 0.6], [3.0, 4.0], [1.0, 1.1])
    return mo.bimaml_flow(tasks, 0.1, 0.1)


@pytest.fixture(scope="module")
def runs(flow):
    return mo.ensemble(flow, np.linspace(-4.0, 4.0, 9), method="DOP853", max_steps=21)


def brute_force(points, atol):
    """Return labels by following every link."""
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) <= atol
    labels = np.full(len(points), -1)
    for first in range(len(points)):
        if labels[first] >= 0:
            continue
        members, label = [first], labels.max() + 1
        while members:
            k = members.pop()
            if labels[k] < 0:
                labels[k] = label
                members += np.flatnonzero(near[k] & (labels < 0)).tolist()
    return labels


def test_clusters_are_those_of_all_links():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        d, n = int(rng.integers(1, 5)), int(rng.integers(1, 60))
        scale = 10.0 ** rng.uniform(-6, 6)
        centres = scale * rng.normal(size=(4, d))
        points = centres[rng.integers(0, 4, n)] + 0.1 * scale * rng.normal(size=(n, d))
        atol = scale * 10.0 ** rng.uniform(-2, 0.3)
        np.testing.assert_array_equal(clusters(points, atol), brute_force(points, atol))
        twice = np.concatenate([points, points])
        np.testing.assert_array_equal(clusters(twice, 0.0), np.tile(np.arange(n), 2))
    near = 2.0 - 2.0**-52 * np.arange(1.0, 99.0)[:, None] * [1.0, 1.0]
    for atol in 2.0**-55 * np.linspace(1.0, 2.0, 9):  # of which some would make quotients meet
        assert clusters(near, atol).tolist() == list(range(98))
    chain = np.arange(7.0)[:, None] * [1.0, 1.0]
    assert clusters(chain, np.sqrt(2.0)).tolist() == [0] * 7
    assert clusters(chain, 1.4).tolist() == list(range(7))
    assert clusters(np.empty((0, 2)), 1.0).size == 0


def test_many_ends_in_one_place_take_no_time():
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(3, 20)), 4000, axis=0)
    points += 1e-9 * rng.normal(size=points.shape)
    began = time.process_time()
    labels = clusters(points, 1e-6)
    assert time.process_time() - began < 5.0
    np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], 4000))


def test_basins_leave_out_who_did_not_arrive(runs):
    labels = runs.basins(1e-4)
    assert not runs.success.all()
    assert (labels[~runs.success] == -1).all()
    ended = np.flatnonzero(runs.success)
    np.testing.assert_array_equal(labels[ended], brute_force(runs.w[ended], 1e-4))
    assert labels.max() >= 1
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="atol"):
            runs.basins(bad)


def test_on_figure_1_the_borders_of_basins_are_the_proved_maxima():
    """Between two neighbouring starts with different ends lies exactly one proved maximum of F."""
    pytest.importorskip("flint")
    experiment = mo.experiments.load("figure1")
    proved = mo.theory.count_critical_points(experiment.tasks, experiment.alpha)
    assert proved.certified
    assert proved.everywhere
    kinds = np.array(proved.kinds)
    maxima, minima = proved.points[kinds == "maximum"], proved.points[kinds == "minimum"]
    grid = np.concatenate([np.linspace(-2.0, 1.0, 121), maxima - 1e-6, maxima + 1e-6])
    W0 = np.sort(grid)
    runs = mo.ensemble(experiment.maml_flow(), W0, method="Tsit5")
    assert runs.success.all()
    labels = runs.basins(1e-4)
    assert labels.max() + 1 == len(minima)
    border = np.flatnonzero(np.diff(labels))
    assert border.size == len(maxima)
    for k, maximum in zip(border, maxima, strict=True):
        assert W0[k] < maximum < W0[k + 1]
        assert W0[k + 1] - W0[k] < 3e-6
    for label, minimum in enumerate(minima):
        np.testing.assert_allclose(runs.w[labels == label], minimum, atol=1e-7)


def test_what_an_ensemble_is(flow, runs):
    assert len(runs) == 9
    assert [getattr(runs, name).shape for name in ARRAYS] == [
        (9, 1), (9, 1), (9,), (9,), (9,), (9,), (9,), (9, 1), (9,), (9,),
    ]  # fmt: skip
    assert set(runs.stop) == {mo.StopReason.STATIONARY, mo.StopReason.STEP_LIMIT}
    np.testing.assert_array_equal(runs.success, runs.stop == mo.StopReason.STATIONARY)
    assert (runs.grad_norm[runs.success] <= 1e-8).all()
    F = flow.objective
    np.testing.assert_allclose(runs.loss, [F.value(w) for w in runs.w], rtol=1e-14)
    assert runs.counts.steps == runs.steps.sum()
    assert runs.counts.rejected == runs.rejected.sum()
    assert runs.counts.diagnostics.gradients == 9 * 3
    alone = mo.ensemble(flow, [[0.5], [1.0]], method="RK45")
    assert alone.counts.diagnostics.gradients == 2 * 3
    assert runs.identity == flow.identity
    assert "BI-MAML by DOP853: K = 9, d = 1;" in repr(runs)
    assert "STEP_LIMIT" in repr(runs)
    assert "5 STATIONARY, 4 STEP_LIMIT" in runs._repr_html_()
    assert f"{runs.loss.min():.6g}" in runs._repr_html_()
    lost = replace(runs, loss=np.where(runs.loss == runs.loss.max(), np.nan, runs.loss))
    assert f"{runs.loss.min():.6g}" in lost._repr_html_()
    assert np.isfinite(runs.member(8).loss).all()
    assert runs.member(-9).final_time == runs.t[0]
    assert runs.member(-1).final_time == runs.member(8).final_time == runs.t[8]
    for bad, error in ((9, ValueError), (-10, ValueError), (1.5, TypeError), ("a", TypeError)):
        with pytest.raises(error):
            runs.member(bad)


def test_inputs_are_left_alone_and_do_not_lead_back(flow):
    W0 = np.array([[1.0], [2.0]])
    alpha = np.array([0.1, 0.2])
    W0.flags.writeable = alpha.flags.writeable = False
    runs = mo.ensemble(flow, W0, alpha=alpha, method="Tsit5", tol=1e-3)
    assert not np.shares_memory(runs.W0, W0)
    assert not np.shares_memory(runs.alpha, alpha)
    assert not np.shares_memory(runs.W0, runs.w)


def test_saved_and_loaded(flow, runs, tmp_path):
    other = mo.ensemble(
        flow, [[0.5], [1.0]], alpha=[0.05, 0.2], switch_tol=[0.3, 0.1], method="RK45"
    )
    for number, one in enumerate((runs, other)):
        path = tmp_path / f"runs{number}"
        one.save(path)
        loaded = mo.Ensemble.load(path)
        for name in (*ARRAYS, "alpha", "switch_tol"):
            mine, theirs = getattr(one, name), getattr(loaded, name)
            np.testing.assert_array_equal(mine, theirs, name)
            assert mine is None or mine.dtype == theirs.dtype
        for name in ("counts", "elapsed", "method", "flow_name", "identity"):
            assert getattr(one, name) == getattr(loaded, name)
        assert repr(loaded) == repr(one)
        with pytest.raises(ValueError, match="holds no flow; run the member by"):
            loaded.member(0)
    copy = pickle.loads(pickle.dumps(other))  # unlike a file it holds the flow
    np.testing.assert_array_equal(copy.member(1).y, other.member(1).y)
    with pytest.raises(ValueError, match="is not a saved Ensemble"):
        mo.Ensemble.load(io.BytesIO(b"nothing"))
    run_file = io.BytesIO()
    other.member(0).save(run_file)
    run_file.seek(0)
    with pytest.raises(ValueError, match="another format"):
        mo.Ensemble.load(run_file)


def test_a_file_of_nobody_or_of_half_a_success_is_refused(runs, tmp_path):
    runs.save(tmp_path / "runs.npz")
    with np.load(tmp_path / "runs.npz") as file:
        content = {name: file[name] for name in file.files}

    def load(changed):
        np.savez(tmp_path / "changed.npz", **(content | changed))
        return mo.Ensemble.load(tmp_path / "changed.npz")

    members = {name: array for name, array in content.items() if array.ndim}
    assert len(load({name: array[:1] for name, array in members.items()})) == 1
    with pytest.raises(ValueError, match="it has no members"):
        load({name: array[:0] for name, array in members.items()})
    with pytest.raises(ValueError, match="must be 0 or 1"):
        load({"success": 2 * content["success"]})


def test_as_a_table(flow, runs):
    pytest.importorskip("pandas")
    table = runs.to_dataframe()
    assert list(table) == [
        "t", "stop", "success", "loss", "grad_norm", "steps", "rejected", "switch_time[0]", "w0[0]",
        "w[0]",
    ]  # fmt: skip
    np.testing.assert_array_equal(table["w[0]"], runs.w[:, 0])
    assert table["stop"].tolist() == [reason.name for reason in runs.stop]
    more = mo.ensemble(flow, [[0.5]], alpha=[0.05], method="Tsit5").to_dataframe()
    assert more["alpha"].tolist() == [0.05]


def test_pictures(runs):
    import matplotlib.pyplot as plt

    ax = runs.plot()
    arrived, did_not = ax.get_lines()
    np.testing.assert_array_equal(arrived.get_xdata(), runs.W0[runs.success, 0])
    np.testing.assert_array_equal(did_not.get_ydata(), runs.w[~runs.success, 0])
    plane = mo.maml_flow(mo.tasks.Quadratic([np.eye(2)], [np.ones(2)]), 0.1)
    ends = mo.ensemble(plane, [[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]], tol=0.0, t_max=0.5)
    _, mine = plt.subplots()
    assert ends.plot(mine) is mine
    np.testing.assert_array_equal(np.sort(mine.get_lines()[0].get_ydata()), np.sort(ends.loss))
    plt.close("all")


def test_progress_is_shown(flow, capsys):
    for method in ("Tsit5", "RK45"):
        mo.ensemble(flow, [[0.5], [1.0]], method=method, progress=True)
        said = capsys.readouterr().err
        assert "BI-MAML, 2 members" in said
        assert "2 of 2" in said


@pytest.mark.parametrize(
    ("arguments", "how", "error", "sentence"),
    [
        (("flow", [[0.0]]), {}, TypeError, "flow must be a Flow"),
        ((None, [0.0, 1.0]), {"alpha": 0.1}, ValueError, r"alpha must have shape \(2,\), one number"),
        ((None, [[0.0, 1.0]]), {}, ValueError, r"W0 must have shape \(K, 1\), one start a row"),
        ((None, 1.0), {}, ValueError, r"W0 must have shape \(K, 1\)"),
        ((None, np.empty((0, 1))), {}, ValueError, "at least one member"),
        ((None, [[np.nan]]), {}, ValueError, "W0 must be finite"),
        ((None, [["a"]]), {}, TypeError, "W0"),
        ((None, [0.0]), {"alpha": [np.inf]}, ValueError, "alpha must be finite"),
        ((None, [0.0]), {"switch_tol": [-1.0]}, ValueError, "switch_tol must be at least 0"),
        ((None, [0.0]), {"switch_tol": [0.1, 0.2]}, ValueError, r"switch_tol must have shape \(1,\)"),
        ((None, [0.0]), {"switch_tol": [0.0]}, ValueError, "pass a switch_tol above 0"),
        ((None, [0.0]), {"tol": -1.0}, ValueError, "tol must be"),
        ((None, [0.0]), {"tol": 0.0}, ValueError, "the run has no end"),
        ((None, [0.0]), {"t_max": 0.0}, ValueError, "t_max"),
        ((None, [0.0]), {"threads": 0}, ValueError, "threads"),
        ((None, [0.0]), {"max_steps": 0}, ValueError, "max_steps"),
        ((None, [0.0]), {"max_seconds": 0.0}, ValueError, "max_seconds"),
        ((None, [0.0]), {"progress": 1}, TypeError, "progress"),
        ((None, [0.0]), {"method": "Tsit6"}, ValueError, "Tsit5"),
        ((None, [0.0]), {"method": "exact"}, ValueError, "needs affine phases"),
        ((None, [0.0]), {"method": "Tsit5", "first_stp": 1.0}, TypeError, "first_step"),
        ((None, [0.0]), {"first_stp": 1.0}, TypeError, "unknown option of DOP853 'first_stp'"),
        ((None, [0.0]), {"callback": print}, TypeError, "unknown option of DOP853 'callback'"),
        ((None, [0.0]), {"method": "Tsit5", "first_step": -1.0}, ValueError, "first_step"),
        ((None, [0.0]), {"method": "DOP853", "max_step": "1"}, TypeError, "max_step"),
        ((None, [0.0]), {"method": "DOP853", "max_step": np.nan}, ValueError, "max_step"),
        ((None, [0.0]), {"rtol": -1.0}, ValueError, "rtol"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(flow, arguments, how, error, sentence):
    given = flow if arguments[0] is None else arguments[0]
    with pytest.raises(error, match=sentence):
        mo.ensemble(given, arguments[1], **how)


def test_what_a_flow_lacks_is_refused(monkeypatch):
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [np.ones(2)]))
    plain = mo.gradient_flow(f)
    with pytest.raises(ValueError, match=r"W0\[None, :\] for a single member"):
        mo.ensemble(plain, [1.0, 2.0])
    assert mo.ensemble(plain, np.array([1.0, 2.0])[None, :]).success.all()
    with pytest.raises(ValueError, match="'gradient flow' takes no inner steps; leave it out"):
        mo.ensemble(plain, [[1.0, 2.0]], alpha=[0.1])
    with pytest.raises(ValueError, match="none of its phases ends at a gradient norm"):
        mo.ensemble(plain, [[1.0, 2.0]], switch_tol=[0.1])
    with pytest.raises(ValueError, match="the residual that DOP853 keeps at atol = "):
        mo.ensemble(plain, [[1.0, 1.0]], method="DOP853", atol=1e-3, tol=1e-6)
    inside = mo.ensemble(
        mo.bimaml_flow(f.tasks, 0.1, 0.1, rule="retest"), [[1.05, 1.0]], tol=0.0, t_max=0.1
    )
    assert inside.switch_times.shape == (1, 0)
    online = mo.bimaml_flow(f.tasks, 0.1, switch="auto")
    monkeypatch.setattr(Request, "run", None)  # before anybody runs
    with pytest.raises(ValueError, match="alpha must be one number of at least 0"):
        mo.ensemble(online, [[1.0, 2.0], [2.0, 1.0]], alpha=[0.1, -0.1], method="DOP853")
    until = mo.bimaml_flow(f.tasks, 0.1, 0.1).phases[0].until
    twice = mo.Flow([mo.Phase(f, until=until), mo.Phase(f, until=until), mo.Phase(f)])
    with pytest.raises(ValueError, match="2 of its phases end at a gradient norm"):
        mo.ensemble(twice, [[1.0, 2.0]], switch_tol=[0.1])


def test_a_field_that_jumps_is_warned_of_once(recwarn):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 6, 2))
    tasks = mo.tasks.SVM(X, np.sign(X[..., 0]), loss="squared_hinge", l2=0.1)
    with pytest.warns(mo.integrate.NonSmoothWarning) as told:
        runs = mo.ensemble(
            mo.maml_flow(tasks, 0.0), rng.normal(size=(3, 2)), alpha=[0.0, 0.1, 0.05], tol=0.0, t_max=0.1
        )  # fmt: skip
    assert len(told) == 1
    assert told[0].filename == __file__
    assert runs.success.all()


@pytest.mark.parametrize("method", ["DOP853", "RK45"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_key_keeps_what_is_done(monkeypatch, flow, method, threads):
    """Pressed at any look: who is finished stays so, and the others have come as far as they say."""
    monkeypatch.setattr("maml_ode.integrate.ensembles.by_compiled_loop.CALL_SECONDS", 1e-4)
    W0 = np.linspace(-3.0, 3.0, 20)
    whole = mo.ensemble(flow, W0, method=method, batched=False)
    left = [0]
    look = Watch.look

    def press(watch, *done):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        look(watch, *done)

    monkeypatch.setattr(Watch, "look", press)
    ended = set()
    for looks in (1, 2, 4, 9, 19, 80, 200):
        left[0] = looks
        runs = mo.ensemble(flow, W0, method=method, threads=threads, batched=False)
        open_ = runs.stop == mo.StopReason.INTERRUPTED
        assert not runs.success[open_].any()
        np.testing.assert_array_equal(runs.w[~open_], whole.w[~open_])
        np.testing.assert_array_equal(runs.t[~open_], whole.t[~open_])
        assert (runs.t[open_] <= whole.t[open_]).all()
        for k in np.flatnonzero(open_ & (runs.t > 0))[:3]:
            path = mo.solve(
                flow, [W0[k]], t_max=runs.t[k], tol=0.0, method="Radau", rtol=1e-9, atol=1e-11
            )
            np.testing.assert_allclose(runs.w[k], path.w, atol=1e-6)
        assert runs.counts.steps == runs.steps.sum()
        ended.add(int(open_.sum()))
    assert len(ended) > 1


def test_a_real_key_in_compiled_code_is_heeded_soon():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10, 200, 30))
    tasks = mo.tasks.LogisticRegression(X, np.sign(X[..., 0]), l2=1e-5)
    flow = mo.maml_flow(tasks, 0.01)
    W0 = rng.normal(size=(200, 30))
    how = {"method": "DOP853", "batched": False}
    mo.ensemble(flow, W0[:1], max_steps=1, **how)
    # A shell lets what it starts in the background ignore the key.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for threads in (1, 2):
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            began = time.perf_counter()
            runs = mo.ensemble(flow, W0, threads=threads, **how)
            assert time.perf_counter() - began < 3.0
            assert mo.StopReason.INTERRUPTED in set(runs.stop)
            assert runs.t.max() > 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_watch_shows_who_is_done_and_knows_how_long_is_left():
    seen = []
    bar = SimpleNamespace(show=True, display=lambda share, text: seen.append((share, text)))
    members = Members(np.zeros((4, 1)), 0)
    watch = Watch(members, bar, 8.0)
    members.end(np.array([2]), mo.StopReason.HORIZON, asked_for=True)
    watch.look()
    watch.look(lambda: 3)
    assert seen == [(0.25, "1 of 4"), (0.75, "3 of 4")]
    watch._began -= 3.0
    assert 4.5 < watch.seconds_left <= 5.0
    watch._began -= 6.0
    assert 0.0 < watch.seconds_left < 1e-6
    with pytest.raises(OutOfTime):
        watch.look()
    assert Watch(members, bar, None).seconds_left is None


def test_a_member_takes_as_many_switches_as_its_run_has():
    members, nothing = Members(np.zeros((2, 1)), 1), np.empty(0)
    run = {"final_state": [5.0], "final_time": 3.0, "stop": mo.StopReason.HORIZON, "success": True}
    for k, times in ((0, nothing), (1, np.array([1.0, 2.0])), (0, np.array([0.5]))):
        counts = mo.Counts(gradients=10, steps=4 + k, rejected=k)
        members.take(k, SimpleNamespace(**run, switch_times=times, counts=counts))
    np.testing.assert_array_equal(members.switch_times, [[0.5, np.nan], [1.0, 2.0]])
    assert (members.w.tolist(), members.t.tolist()) == ([[5.0], [5.0]], [3.0, 3.0])
    assert (members.steps.tolist(), members.rejected.tolist()) == ([4, 5], [0, 1])
    assert members.counts.gradients == 30
    assert members.unfinished.size == 0
    members.forget(np.array([0]))
    assert (members.w.tolist(), members.t.tolist()) == ([[0.0], [5.0]], [0.0, 3.0])
    assert (members.steps.tolist(), members.rejected.tolist()) == ([0, 5], [0, 1])
    np.testing.assert_array_equal(members.switch_times, [[np.nan] * 2, [1.0, 2.0]])


def test_a_time_limit_keeps_what_is_done(flow):
    W0 = np.linspace(-3.0, 3.0, 3000)
    for how in ({"method": "DOP853", "tol": 1e-9}, {"method": "RK45"}):
        runs = mo.ensemble(flow, W0, max_seconds=0.1, batched=False, **how)
        late = runs.stop == mo.StopReason.TIME_LIMIT
        assert late.any()
        assert runs.elapsed < 3.0
        assert not runs.success[late].any()
        assert runs.success[~late].all()
        np.testing.assert_array_equal(runs.w[runs.t == 0], runs.W0[runs.t == 0])


def test_no_member_that_is_at_rest_is_told_of_a_norm_above_the_tolerance():
    """The norm that ended a member is reported: another product of the same numbers rounds otherwise."""
    how, exactly = {"method": "DOP853", "rtol": 1e-6, "atol": 1e-9}, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        M, n, d = rng.integers(1, 5), rng.integers(2, 30), rng.integers(1, 9)
        X = rng.standard_normal((M, n, d))
        y = np.where(rng.random((M, n)) < 0.5, -1.0, 1.0)
        family = (
            mo.tasks.LogisticRegression(X, y, l2=0.1)
            if seed % 2
            else mo.tasks.Quadratic(
                [x.T @ x / n + np.eye(d) for x in X], rng.standard_normal((M, d))
            )
        )
        flow, start = mo.maml_flow(family, 0.05), rng.standard_normal(d)
        path = mo.solve(flow, start, tol=1e-4, **how)
        for step in range(1, len(path) - 1, 2):
            tol = float(path.grad_norm[step])  # met exactly at this step, if not before
            runs = mo.ensemble(flow, [start], tol=tol, batched=False, **how)
            assert runs.success.all()
            assert runs.grad_norm[0] <= tol
            exactly += runs.grad_norm[0] == tol
            norm = np.linalg.norm(mo.MAMLLoss(family, 0.05).gradient(runs.w[0]))
            assert runs.grad_norm[0] == pytest.approx(norm, rel=1e-9)
    assert exactly > 20

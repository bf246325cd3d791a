"""Trajectory: every field for both verbs, and nothing lost on the way to a file and back."""

import json
import sys

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.stop import Stop


@pytest.fixture(params=["exact", "DOP853", "euler"])
def run(request, quadratic):
    flow, w0 = mo.bimaml_flow(quadratic, 0.3, 0.2), np.ones(4)
    if request.param == "euler":
        return mo.euler(flow, w0, 0.5, tol=1e-6)
    return mo.solve(flow, w0, method=request.param, tol=1e-6)


def test_every_field_is_filled_and_right(run, quadratic):
    n = run.t.size
    F, f = mo.MAMLLoss(quadratic, 0.3), mo.ExpectedLoss(quadratic)
    assert run.y.shape == (4, n)
    np.testing.assert_array_equal(run.y[:, 0], 1.0)
    np.testing.assert_array_equal(run.y[:, -1], run.w)
    assert run.t[0] == 0
    assert run.t[-1] == run.final_time
    assert (np.diff(run.t) > 0).all()
    for k in (0, n // 2, n - 1):
        w = run.y[:, k]
        assert run.loss[k] == pytest.approx(F.value(w), rel=1e-13)
        assert run.task_loss[k] == pytest.approx(f.value(w), rel=1e-13)
        assert run.grad_norm[k] == pytest.approx(np.linalg.norm(F.gradient(w)), rel=1e-8)
        assert run.task_grad_norm[k] == pytest.approx(np.linalg.norm(f.gradient(w)), rel=1e-8)
    assert run.phase[0] == 0
    assert run.phase[-1] == 1
    assert run.switch_times.shape == (1,)
    assert run.switch_states.shape == (1, 4)
    k = int(np.argmax(run.phase == 1))
    assert run.t[k] == run.switch_times[0]
    np.testing.assert_array_equal(run.y[:, k], run.switch_states[0])
    np.testing.assert_array_equal(run.t_events[0], run.switch_times)
    np.testing.assert_array_equal(run.y_events[0], run.switch_states)
    assert run.success
    assert run.status == 1
    assert run.stop is mo.StopReason.STATIONARY
    assert str(run.stop) in run.message
    assert run.elapsed > 0
    assert run.nfev > 0
    assert run.counts.diagnostics.losses == 2 * n


def test_save_and_load_lose_nothing(run, tmp_path):
    path = tmp_path / "run.npz"
    run.save(path)
    back = mo.Trajectory.load(path)
    before, after = run.to_dict(), back.to_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(after[name], value)
        elif isinstance(value, list):
            for one, other in zip(value, after[name], strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert after[name] == value, name
    assert back.counts == run.counts
    with np.load(path, allow_pickle=False) as archive:  # no pickles inside
        json.loads(str(archive["header"]))


def test_load_refuses_other_files(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(2))
    with pytest.raises(ValueError, match="not a saved Trajectory"):
        mo.Trajectory.load(tmp_path / "other.npz")


def test_dataframe_has_one_row_per_time(run, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="needs the extra 'pandas'")
    frame = run.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns[:6]) == [
        "t", "phase", "loss", "task_loss", "grad_norm", "task_grad_norm"
    ]  # fmt: skip
    np.testing.assert_array_equal(frame["w[3]"], run.y[3])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"maml_ode\[pandas\]"):
        run.to_dataframe()


def test_plot_draws_itself(run):
    assert run.plot() is not None


def test_t_eval_and_dense_output_follow_scipy(quadratic):
    flow, w0 = mo.maml_flow(quadratic, 0.3), np.ones(4)
    times = np.linspace(0, 5, 11)
    for method in ("exact", "RK45"):
        run = mo.solve(flow, w0, t_eval=times, t_max=5.0, method=method, dense_output=True)
        np.testing.assert_array_equal(run.t, times)
        assert run.final_time == 5.0
        np.testing.assert_allclose(run.sol(times), run.y, rtol=1e-12)
        assert run.sol(2.0).shape == (4,)
    run = mo.solve(flow, w0, t_eval=[0.0, 1.0, 1e6], tol=1e-6)  # stationary before the last time
    assert run.t.size == 2
    assert run.final_time > 1.0


def test_counts_add_up_and_weigh():
    one = mo.Counts(gradients=2, hvps=1, diagnostics=mo.Counts(losses=3))
    two = one + one * 2 + mo.Counts(steps=4)
    assert (two.gradients, two.hvps, two.steps) == (6, 3, 4)
    assert two.diagnostics == mo.Counts(losses=6)
    assert (mo.Counts() + one).diagnostics == (one + mo.Counts()).diagnostics == one.diagnostics
    assert two.gradient_equivalents() == 9
    assert two.gradient_equivalents(hvp=2.0) == 12
    for wrong in ("2", None, True, 1j, np.ones(2)):
        with pytest.raises(TypeError, match="hvp must be one real number"):
            two.gradient_equivalents(wrong)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="hessian must be"):
            two.gradient_equivalents(hessian=wrong)
    assert mo.Counts.from_dict(two.to_dict()) == two
    with pytest.raises(ValueError, match="pass hessian="):
        mo.Counts(hessians=1).gradient_equivalents()
    assert mo.Counts(hessians=1, thirds=1).gradient_equivalents(hessian=10) == 20
    assert mo.Counts(hvps=3, third_vectors=1).gradient_equivalents(hvp=2) == 8


def test_status_is_scipys_code_and_the_message_is_one_sentence():
    """-1 for what nobody asked for, 0 for a horizon or number of steps, 1 for a rule."""
    for reason in mo.StopReason:
        counted = reason in (mo.StopReason.HORIZON, mo.StopReason.STEP_LIMIT)
        assert Stop(reason).status == -1
        assert Stop(reason, asked_for=True).status == (0 if counted else 1)
        assert Stop(reason).message == reason.value
        assert Stop(reason, "At t = 1.").message == f"{reason.value} At t = 1."

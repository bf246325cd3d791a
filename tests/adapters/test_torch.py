"""Families of torch modules and functions, against torch's own derivatives of F written by hand."""

import copy
import pickle
import time

import numpy as np
import pytest

import maml_ode as mo

from .models import CASES, WEIGHTS, F_by_definition, masked_square_error, parameters, samples

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # these problems are small, and threads that wait cost time


def loss(params, data):
    return masked_square_error(torch.tanh, params, data)


def tensors(arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


def built(case, weights=None, seed=0):
    size = CASES[case]
    data = samples(size["M"], size["n"], size["seed"] + seed)
    params = tensors(parameters(size["hidden"], size["seed"]))
    weights = WEIGHTS[size["M"]] if weights else None
    return mo.tasks.from_torch(loss, params, data, weights=weights), params, tensors(data)


@pytest.mark.parametrize(
    ("case", "count", "queries", "weights"),
    [
        ("one task, one parameter", 1, False, False),
        ("one task, one parameter", 3, True, True),
        ("three tasks", 1, True, False),
        ("three tasks", 3, False, True),
        ("five tasks", 1, True, True),
    ],
)
def test_F_and_its_derivatives_are_those_of_autograd(case, count, queries, weights):
    tasks, params, data = built(case, weights)
    query, _, judged = built(case, weights, seed=7) if queries else (None, None, data)
    F = mo.MAMLLoss(tasks, 0.1, inner_steps=count, query=query)
    w = tasks.w0 + 0.1
    v = np.linspace(-1.0, 1.0, tasks.dim) + 0.5
    each = [[{k: x[i] for k, x in d.items()} for i in range(tasks.n_tasks)] for d in (data, judged)]

    # Autograd with graphs of graphs: no torch.func, no batches.
    def by_hand(z):
        parts = torch.split(z, [p.numel() for p in params.values()])
        tree = {k: x.reshape(p.shape) for (k, p), x in zip(params.items(), parts, strict=True)}

        def gradient(u, d):
            return torch.autograd.grad(loss(u, d), list(u.values()), create_graph=True)

        def add(u, g, alpha):
            return {k: x - alpha * y for (k, x), y in zip(u.items(), g, strict=True)}

        return F_by_definition(loss, gradient, add, tree, *each, 0.1, count, tasks.weights)

    z = torch.tensor(w, requires_grad=True)
    value = by_hand(z)
    gradient = torch.autograd.grad(value, z)[0].numpy()
    hessian = torch.autograd.functional.hessian(by_hand, z.detach()).numpy()
    large = np.abs(hessian).max()
    np.testing.assert_allclose(F.value(w), value.item(), rtol=1e-12)
    np.testing.assert_allclose(
        F.gradient(w), gradient, rtol=1e-12, atol=1e-12 * abs(gradient).max()
    )
    np.testing.assert_allclose(F.hvp(w, v), hessian @ v, rtol=1e-11, atol=1e-12 * large)
    np.testing.assert_allclose(F.hessian(w), hessian, rtol=1e-11, atol=1e-12 * large)
    assert F._inner.loop._trusted == {"value": True, "gradient": True, "hvp": True}
    plain = mo.objectives.numpy_loop.NumpyLoop(tasks, query or tasks, 0.1, count)
    np.testing.assert_allclose(F.adapt(w), plain.adapt(w), rtol=1e-12)
    steps = tasks.fused_steps(query or tasks, count)
    sizes = np.full((count, tasks.n_tasks, tasks.dim), 0.1)
    np.testing.assert_allclose(steps.gradient(w, sizes), gradient, rtol=1e-12, atol=1e-14)


def test_the_gradient_over_some_tasks_is_their_mean_in_one_call():
    tasks, _, _ = built("five tasks", weights=True)
    query, _, _ = built("five tasks", weights=True, seed=7)
    F = mo.MAMLLoss(tasks, 0.1, inner_steps=3, query=query)
    w, chosen = tasks.w0 + 0.1, np.array([4, 1, 1])

    def mean_of(sizes):
        own = (
            mo.MAMLLoss(tasks.subset([i]), size, 3, query.subset([i]))
            for i, size in zip(chosen, sizes, strict=True)
        )
        return np.mean([one.gradient(w) for one in own], axis=0)

    expected = mean_of([0.1, 0.1, 0.1])
    for _ in range(2):  # confirmed at first, then taken as it is
        np.testing.assert_allclose(F.gradient_over(w, chosen), expected, rtol=1e-11, atol=1e-13)
    assert F._inner.loop._trusted == {"gradient_over": True}
    sizes = np.arange(1.0, 6.0).reshape(1, 5, 1) * 0.01 * np.ones((3, 5, tasks.dim))
    steps = tasks.fused_steps(query, 3).over(chosen)
    result = steps.gradient(w, sizes[:, chosen])
    np.testing.assert_allclose(result, mean_of([0.05, 0.02, 0.02]), rtol=1e-11, atol=1e-13)


def logistic_loss(params, data):
    w = params["w"]
    margins = data["y"] * (data["x"] @ w)
    return torch.nn.functional.softplus(-margins).mean() + 0.05 * (w**2).sum()


def test_a_logistic_regression_equals_the_built_in_one():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4, 6, 3)), np.where(rng.random((4, 6)) < 0.5, -1.0, 1.0)
    p = [0.1, 0.2, 0.3, 0.4]
    ours = mo.tasks.LogisticRegression(X, y, l2=0.1, weights=p)
    start = {"w": torch.zeros(3)}
    theirs = mo.tasks.from_torch(logistic_loss, start, {"x": X, "y": y}, weights=p)
    w, v, q = rng.normal(size=(3, 4, 3))
    for name, arguments in (
        ("losses", (w,)),
        ("gradients", (w,)),
        ("hessians", (w,)),
        ("hvps", (w, v)),
        ("third", (w, v)),
        ("third_vectors", (w, v, q)),
    ):
        expected = getattr(ours, name)(*arguments)
        np.testing.assert_allclose(
            getattr(theirs, name)(*arguments), expected, rtol=1e-12, atol=1e-13
        )
    runs = [mo.solve(mo.maml_flow(t, 0.3), np.ones(3), tol=1e-6) for t in (ours, theirs)]
    np.testing.assert_allclose(runs[0].w, runs[1].w, atol=1e-9)
    steps = [mo.euler(mo.maml_flow(t, 0.3), np.ones(3), 0.5, max_iter=20) for t in (ours, theirs)]
    np.testing.assert_allclose(steps[0].y, steps[1].y, rtol=1e-11)


def network(width=40):
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    )


def module_loss(model, data):
    x, y = data
    return ((model(x) - y) ** 2).mean()


def sinusoids(M, n=10):
    rng = np.random.default_rng(0)
    x = rng.uniform(-5.0, 5.0, size=(M, n, 1))
    return x, np.sin(x + rng.uniform(0.0, np.pi, size=(M, 1, 1)))


def test_the_sinusoid_network_takes_as_long_as_in_torch_alone():
    model, data = network(), sinusoids(25)
    tasks = mo.tasks.from_torch(module_loss, model, data)
    assert (tasks.dim, tasks.n_tasks) == (1761, 25)
    F = mo.MAMLLoss(tasks, 0.01)
    twin = copy.deepcopy(model).double()
    params = {name: p.detach() for name, p in twin.named_parameters()}
    on_device = tuple(map(torch.tensor, data))

    def of_task(p, d):
        return ((torch.func.functional_call(twin, p, (d[0],)) - d[1]) ** 2).mean()

    def adapted(p, d):
        g = torch.func.grad(of_task)(p, d)
        return of_task({k: p[k] - 0.01 * g[k] for k in p}, d)

    def of_torch():
        slopes = torch.func.vmap(torch.func.grad(adapted), (None, 0))(params, on_device)
        return torch.cat([s.mean(dim=0).ravel() for s in slopes.values()]).numpy()

    expected = of_torch()
    np.testing.assert_allclose(F.gradient(tasks.w0), expected, atol=1e-12 * np.abs(expected).max())
    spent = {of_torch: [], F.gradient: []}
    for _ in range(9):
        for call, seconds in spent.items():
            arguments = () if call is of_torch else (tasks.w0,)
            before = time.process_time()
            for _ in range(4):
                call(*arguments)
            seconds.append(time.process_time() - before)
    assert np.median(spent[F.gradient]) < 1.5 * np.median(spent[of_torch])


class Counting(torch.nn.Module):
    """A module that knows how often it was called."""

    def __init__(self):
        super().__init__()
        self.inside = torch.nn.Linear(1, 1)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.inside(x)


def test_the_counts_are_those_of_the_passes_through_the_model():
    tasks = mo.tasks.from_torch(module_loss, Counting(), sinusoids(3))
    model = tasks._model
    for count in (1, 3):
        F = mo.MAMLLoss(tasks, 0.1, inner_steps=count)
        F.gradient(tasks.w0), F.value(tasks.w0)  # the first ones are confirmed by the other engine
        for evaluate, passes in (
            (F.value, 1 + F.value_cost.gradients),
            (F.gradient, F.gradient_cost.gradients),
        ):
            model.calls = 0
            evaluate(tasks.w0)
            assert model.calls == passes


class Normed(torch.nn.Module):
    """Batch normalisation, a buffer, a frozen layer and a tied weight."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(1, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.frozen = torch.nn.Linear(4, 4).requires_grad_(False)
        self.last = torch.nn.Linear(4, 1)
        self.again = self.last
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.scale * self.again(torch.tanh(self.frozen(self.norm(self.first(x)))))


@pytest.mark.parametrize("training", [True, False])
def test_the_callers_module_stays_as_it_is(training):
    torch.manual_seed(0)
    model = Normed().train(training)
    model(torch.randn(5, 1))
    model(torch.randn(5, 1)).sum().backward() if training else None
    before = copy.deepcopy(model)
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    flags = torch.get_default_dtype(), torch.is_grad_enabled()
    tasks = mo.tasks.from_torch(module_loss, model, sinusoids(3))
    assert training is False or mo.check_derivatives(tasks).ok
    mo.euler(mo.maml_flow(tasks, 0.01), tasks.w0, 0.001, max_iter=2)
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == flags
    assert model.training == training
    for (name, now), then in zip(
        model.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert now.dtype == then.dtype
        assert torch.equal(now, then), name
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert (parameter.grad is None) == (grad is None)
        assert grad is None or torch.equal(parameter.grad, grad)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert list(tasks.unravel(tasks.w0)) == names
    assert not any(name.startswith("frozen") for name in names)
    # The loss is that of the module itself, brought to double.
    twin = copy.deepcopy(model).double()
    x, y = (torch.tensor(a) for a in sinusoids(3))
    expected = [module_loss(twin, (x[i], y[i])).item() for i in range(3)]
    np.testing.assert_allclose(tasks.losses(tasks.w0), expected, rtol=1e-12)


def test_a_derivative_that_torch_gets_wrong_is_refused():
    def normed(params, data):
        normal = torch.nn.functional.batch_norm(
            data["x"] * params["slope"], None, None, training=True, eps=0.1
        )
        return (normal[:, 0] ** 2 * data["y"]).mean() + params["slope"] ** 2

    with pytest.raises(ValueError, match=r"third_vectors of this loss .*functional\.batch_norm"):
        mo.tasks.from_torch(normed, {"slope": torch.tensor(0.7)}, samples(2, 4, 0))


def test_parameters_come_back_by_name_in_double():
    model = network(3).half()
    tasks = mo.tasks.from_torch(module_loss, model, [a.astype(np.float32) for a in sinusoids(2)])
    back = tasks.unravel(tasks.w0)
    assert list(back) == [name for name, _ in model.named_parameters()]
    for name, p in model.named_parameters():
        assert back[name].dtype == torch.float64
        assert torch.equal(back[name], p.detach().double())
    twin = network(3).double()
    twin.load_state_dict(back)
    x = torch.tensor(sinusoids(2)[0][0])
    torch.func.functional_call(twin, back, (x,))
    assert tasks.gradients(tasks.w0).dtype == np.float64


def looking(params, data):
    scale = 1.0 if data["y"].sum().item() > -1e9 else 2.0  # a value looked at: not in a batch
    return scale * loss(params, data)


def test_what_does_not_batch_goes_task_by_task():
    usual, params, data = built("three tasks")
    tasks = mo.tasks.from_torch(looking, params, data)
    w, v = usual.w0, np.ones(usual.dim)
    np.testing.assert_allclose(
        tasks.third_vectors(w, v, v), usual.third_vectors(w, v, v), rtol=1e-12
    )
    F, G = (mo.MAMLLoss(t, 0.1) for t in (tasks, usual))
    np.testing.assert_allclose(F.gradient(w), G.gradient(w), rtol=1e-12)
    assert tasks.fused_steps(tasks, 1) is None


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"loss": 3}, TypeError, r"loss must be callable as loss\(model, task_data\)"),
        ({"loss": lambda p, d: d["y"]}, ValueError, r"one scalar, but it returned shape \(4,\)"),
        ({"loss": lambda p, d: 3.0}, TypeError, r"must return a tensor, not 3\.0"),
        ({"loss": lambda p, d: torch.tensor(3)}, TypeError, "must return a real number"),
        ({"params": {}}, ValueError, "params must hold at least one number"),
        (
            {"params": [1.0]},
            TypeError,
            r"a torch\.nn\.Module or a dict of names to tensors, not a list",
        ),
        (
            {"params": {"slope": 1.0}},
            TypeError,
            r"params\['slope'\] must be a real floating tensor",
        ),
        ({"params": {"slope": torch.tensor(1)}}, TypeError, r"tensor.*not torch\.int64"),
        ({"params": {"slope": torch.tensor(np.nan)}}, ValueError, "must be finite"),
        ({"data": {}}, ValueError, "data must hold tensors whose leading axis is the task"),
        ({"data": torch.tensor(1.0)}, ValueError, "the task as the leading axis everywhere"),
        ({"data": (np.ones(3), np.ones(2))}, ValueError, "one array has 3 .* another has 2"),
        ({"data": ["a"]}, TypeError, "data must hold tensors or arrays of numbers"),
        ({"loss": lambda p, d: p["slope"] * torch.rand(())}, ValueError, "draws random numbers"),
        ({"params": torch.nn.Linear(1, 1).requires_grad_(False)}, ValueError, "requires_grad_"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments, error, sentence):
    good = {"loss": loss, "params": tensors(parameters(0, 0)), "data": samples(3, 4, 1)}
    with pytest.raises(error, match=sentence):
        mo.tasks.from_torch(**(good | arguments))


def test_dropout_is_refused_and_the_remedy_works():
    model = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Dropout(), torch.nn.Linear(3, 1))
    with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
        mo.tasks.from_torch(module_loss, model, sinusoids(2))
    assert mo.tasks.from_torch(module_loss, model.eval(), sinusoids(2)).dim == 10


def test_a_family_is_what_any_other_is(tmp_path):
    model, data = network(2), sinusoids(3)
    tasks = mo.tasks.from_torch(module_loss, model, data, weights=[0.2, 0.3, 0.5])
    assert mo.check_derivatives(mo.MAMLLoss(tasks, 0.1, inner_steps=2)).ok
    twin = pickle.loads(pickle.dumps(tasks))
    np.testing.assert_array_equal(twin.hvps(tasks.w0, tasks.w0), tasks.hvps(tasks.w0, tasks.w0))
    assert twin.identity == tasks.identity is not None
    relu = torch.nn.Sequential(
        *[torch.nn.ReLU() if isinstance(m, torch.nn.Tanh) else m for m in model]
    )
    others = [
        mo.tasks.from_torch(module_loss, relu, data, weights=tasks.weights),
        mo.tasks.from_torch(module_loss, model, sinusoids(3, 9), weights=tasks.weights),
        mo.tasks.from_torch(module_loss, model, data),
    ]
    assert len({tasks.identity, *(other.identity for other in others)}) == 4
    flow = mo.maml_flow(tasks, 0.1)
    mo.solve(flow, tasks.w0, t_max=0.2).save(tmp_path / "run.npz")
    part = mo.Trajectory.load(tmp_path / "run.npz")
    assert mo.solve(flow, resume=part, t_max=0.4).t[-1] == 0.4
    with pytest.raises(ValueError, match="run of another flow"):
        mo.solve(mo.maml_flow(others[2], 0.1), resume=part, t_max=0.4)


def test_some_of_the_tasks_are_a_family_of_the_same_kind():
    tasks, _, _ = built("three tasks", weights=True)
    some = tasks.subset([2, 0])
    assert type(some) is type(tasks)
    assert some.identity != tasks.identity
    np.testing.assert_allclose(some.weights, [0.375, 0.625])
    w = tasks.w0 + 0.1
    np.testing.assert_allclose(some.hvps(w, w), tasks.hvps(w, w)[[2, 0]], rtol=1e-12)
    assert some.fused_steps(some, 1) is not None
    assert tasks.n_tasks == len(tasks.losses(w)) == 3

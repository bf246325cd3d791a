"""MNIST's panels from files of its size and format that are made here, against a loop in NumPy."""

import json
import struct

import numpy as np
import pytest
from click.testing import CliRunner

import maml_ode as mo
from maml_ode.cli import main
from maml_ode.reproduce import Settings, reproduce
from maml_ode.reproduce.mnist import ARTEFACT
from maml_ode.reproduce.report.statements import STATEMENTS
from maml_ode.runs.files import sha256

from .pictures import assert_legible, draw

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
QUICK = {"seeds": 1, "quick": True}


def write_idx(path, array):
    header = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60,000 images of 28 x 28: faint blobs for each digit under strokes that all digits share."""
    rng = np.random.default_rng(5)
    patches = (rng.random((60_000, 7, 7)) < 0.2) * np.uint8(225)
    labels = rng.integers(0, 10, 60_000).astype(np.uint8)
    patches += ((rng.random((10, 7, 7)) > 0.6) * np.uint8(30))[labels]
    images = np.kron(patches, np.ones((4, 4), dtype=np.uint8))
    made = tmp_path_factory.mktemp("idx")
    write_idx(made / IMAGES, images)
    write_idx(made / LABELS, labels)
    return made


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("made")
    (outcome,) = reproduce(output, "mnist", Settings(**QUICK, mnist=folder))
    assert outcome.status == "computed"
    return output


@pytest.fixture(scope="module")
def tables(folder):
    settings = Settings(**QUICK, mnist=str(folder))
    return ARTEFACT.compute(settings, lambda fraction, note: None, {})


def plain_bimaml(problem):
    """F and the switch along BI-MAML on the mean squared hinge, in NumPy alone."""
    X, y = np.stack(problem.tasks.X), np.stack(problem.tasks.y)
    n = y.shape[1]

    def margins(w):
        return np.maximum(1 - y * np.einsum("mnd,md->mn", X, w), 0.0)

    def gradients(w):
        return np.einsum("mn,mnd->md", -2 / n * margins(w) * y, X)

    w, losses, switch = problem.w0, [], None
    for k in range(problem.n_steps + 1):
        everywhere = np.broadcast_to(w, (len(X), w.size))
        inner = gradients(everywhere)
        u = w - problem.alpha * inner
        outer = gradients(u)
        losses.append((margins(u) ** 2).mean())
        if switch is None and np.linalg.norm(inner.mean(axis=0)) <= problem.switch_tol:
            switch = k
        active = (margins(everywhere) > 0) * 2 / n * np.einsum("mnd,md->mn", X, outer)
        full = outer - problem.alpha * np.einsum("mn,mnd->md", active, X)
        w = w - problem.beta * (inner if switch is None else full).mean(axis=0)
    return losses, switch


def test_the_panels_show_the_algorithm_on_the_users_images(folder, tables):
    problem = mo.experiments.load("svm_mnist", 0, path=folder)
    losses, switch = plain_bimaml(problem)
    part = tables["mnist_iterates"].where(experiment="svm_mnist", seed=0, algorithm="BI-MAML")
    np.testing.assert_allclose(part["loss"], losses, rtol=1e-10)
    (k,) = tables["mnist_switches"].where(experiment="svm_mnist")["switch_k"]
    assert np.isnan(k) if switch is None else k == pytest.approx(switch)
    (figure,) = draw(ARTEFACT, tables, Settings(**QUICK)).values()
    assert_legible(figure, columns=2)
    line = next(line for line in figure.axes[1].get_lines() if line.get_label() == "BI-MAML")
    np.testing.assert_array_equal(line.get_ydata(), part["loss"])


def test_mnist_is_judged_by_the_statements_on_the_stand_in(tables):
    table = tables["mnist_statements"]
    digits = [one for one in STATEMENTS if one.experiment == "svm_digits"]
    assert len(table) == 2 * len(digits) == 10
    for stand_in, mnist in zip(range(0, 10, 2), range(1, 10, 2), strict=True):
        assert table["criterion"][stand_in] == table["criterion"][mnist]
        assert "stand-in for MNIST" not in table["why"][mnist]
        assert "stand-in" not in table["setting"][mnist]
        assert table["setting"][mnist].startswith("svm_mnist")
    (row,) = np.flatnonzero(table["statement"] == "loss_svm_mnist")
    iterates = tables["mnist_iterates"].where(experiment="svm_mnist", k=50)
    ratio = (
        iterates.where(algorithm="BI-MAML")["loss"][0] / iterates.where(algorithm="MAML")["loss"][0]
    )
    assert table["median"][row] == pytest.approx(ratio)
    assert (table["verdict"][row] != "not reproduced") == (ratio < 1)


def test_the_record_names_the_files_by_content_and_not_by_place(folder, made, tmp_path):
    record = json.loads((made / "mnist.json").read_text())
    assert record["constants"]["files"] == {
        "images": sha256(folder / IMAGES),
        "labels": sha256(folder / LABELS),
    }
    assert str(folder) not in (made / "mnist.json").read_text()
    assert "--mnist FOLDER" in record["command"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in (IMAGES, LABELS):
        (elsewhere / name).write_bytes((folder / name).read_bytes())
    (kept,) = reproduce(made, "mnist", Settings(**QUICK, mnist=elsewhere))
    assert kept.status == "kept"
    (redrawn,) = reproduce(made, "mnist", Settings(**QUICK), redraw=True)
    assert redrawn.status == "redrawn"
    page = (made / "index.html").read_text()
    assert page.count("<tr data-verdict") == 10
    assert 'href="mnist_statements.csv"' in page
    assert "# Panels 2d and 2h on MNIST" in (made / "mnist.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mnist", "nowhere"], "mnist must be the folder with MNIST's training files"),
        (["--mnist", "."], "holds no training images"),
        (["--only", "mnist"], "give their folder with --mnist FOLDER"),
        (["--check", "--mnist", "."], "leave out the other options"),
    ],
)
def test_without_mnist_a_sentence_says_what_to_do(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["reproduce", "--output", "made", *arguments])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused_before_anything_is_made(folder, tmp_path):
    (tmp_path / IMAGES).write_bytes((folder / IMAGES).read_bytes()[:-1])
    (tmp_path / LABELS).write_bytes((folder / LABELS).read_bytes())
    arguments = ["reproduce", "--only", "mnist", "--mnist", str(tmp_path)]
    result = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "made")])
    assert result.exit_code == 2
    assert "damaged or cut off" in result.stderr
    assert not (tmp_path / "made").exists()
    with pytest.raises(TypeError, match="mnist must be a folder's path, not 5"):
        Settings(mnist=5)

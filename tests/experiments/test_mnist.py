"""Loading MNIST, on IDX files made here."""

import gzip
import struct

import numpy as np
import pytest

import maml_ode as mo

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array, magic=None):
    array = np.asarray(array, dtype=np.uint8)
    header = struct.pack(">I", 0x0800 + array.ndim if magic is None else magic)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def digits():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), 103))
    images = rng.integers(0, 256, size=(labels.size, 28, 28), dtype=np.uint8)
    return images, labels


def write(folder, images, labels, names=(IMAGES, LABELS)):
    for name, content in zip(names, (images, labels), strict=True):
        data = content if isinstance(content, bytes) else idx(content)
        (folder / name).write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        (IMAGES, LABELS),
        (IMAGES + ".gz", LABELS + ".gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("train-images.idx3-ubyte.gz", LABELS),
    ],
)
def test_every_spelling_is_read(tmp_path, digits, names):
    images, labels = digits
    problem = mo.experiments.load("svm_mnist", 1, path=write(tmp_path, *digits, names))
    X = np.stack(problem.tasks.X)
    levels = images.reshape(-1, 784) / 255.0
    # The images are noise, so each sample correlates with the one that it comes from only.
    index = np.argmax(X @ (levels - levels.mean(axis=0)).T, axis=2)
    assert len(np.unique(index)) == 1000
    np.testing.assert_allclose(X, levels[index] - levels[index].mean(axis=(0, 1)), atol=1e-14)
    for task, pair in enumerate([(1, 2), (3, 4), (5, 6), (7, 8), (9, 0)]):
        assert labels[index[task]].tolist() == [pair[0]] * 100 + [pair[1]] * 100
        assert problem.tasks.y[task].tolist() == [1.0] * 100 + [-1.0] * 100
    assert problem.options["data"] == "MNIST (IDX files)"


def test_the_same_images_for_a_seed_and_others_for_another(tmp_path, digits):
    folder = write(tmp_path, *digits)
    a, b, c = (mo.experiments.load("svm_mnist", s, path=str(folder)) for s in (0, 0, 1))
    assert np.array_equal(a.tasks.X[0], b.tasks.X[0])
    assert not np.array_equal(a.tasks.X[0], c.tasks.X[0])
    assert (a.alpha, a.beta, a.switch_tol, a.quoted_saving) == (0.3, 0.01, 0.59, 0.37)


def test_a_replaced_file_is_read_again(tmp_path, digits):
    images, labels = digits
    folder = write(tmp_path, images, labels)
    before = mo.experiments.load("svm_mnist", path=folder)
    (folder / IMAGES).unlink()
    write(folder, 255 - images, labels, (IMAGES + ".gz", LABELS))
    after = mo.experiments.load("svm_mnist", path=folder)
    np.testing.assert_allclose(after.tasks.X[0], -before.tasks.X[0], atol=1e-14)


def without_zeros(digits):
    images, labels = digits
    return images, np.where(labels == 0, 1, labels)


DAMAGE = {
    "magic number 2051": lambda im, la: (idx(im, magic=2049), la),
    "magic number 2049": lambda im, la: (im, idx(la, magic=2051)),
    "it is damaged or cut off": lambda im, la: (idx(im)[:-1], la),
    "holds more": lambda im, la: (im, idx(la) + b"\0"),
    "cut off inside its header": lambda im, la: (idx(im)[:9], la),
    r"\(n, 28, 28\), not \(1030, 28, 27\)": lambda im, la: (im[:, :, 1:], la),
    "do not belong together": lambda im, la: (im, la[:-1]),
    "there are 0 of 0": lambda im, la: without_zeros((im, la)),
    "there is a label 11": lambda im, la: (im, np.where(la == 9, 11, la)),
    "span 0 to 1;": lambda im, la: (im > 127, la),
    "span 0 to 254;": lambda im, la: (np.minimum(im, 254), la),
}


@pytest.mark.parametrize("sentence", DAMAGE)
def test_what_is_not_mnist_is_refused(tmp_path, digits, sentence):
    folder = write(tmp_path, *DAMAGE[sentence](*digits))
    with pytest.raises(ValueError, match=sentence):
        mo.experiments.load("svm_mnist", path=folder)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path, digits):
    lying = struct.pack(">4I", 0x0803, 2**32 - 1, 28, 28) + bytes(1000)
    folder = write(tmp_path, lying, digits[1])
    with pytest.raises(ValueError, match="holds only 1000"):
        mo.experiments.load("svm_mnist", path=folder)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-6], lambda b: b[:5]])
def test_damaged_compression_is_refused(tmp_path, digits, damage):
    folder = write(tmp_path, *digits, (IMAGES + ".gz", LABELS))
    file = folder / (IMAGES + ".gz")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz.*damaged or cut off"):
        mo.experiments.load("svm_mnist", path=folder)


def test_a_flipped_bit_is_caught_by_the_checksum(tmp_path, digits):
    folder = write(tmp_path, *digits, (IMAGES + ".gz", LABELS))
    file = folder / (IMAGES + ".gz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged"):
        mo.experiments.load("svm_mnist", path=folder)


def test_missing_files_are_named(tmp_path, digits):
    with pytest.raises(ValueError, match="is not a folder"):
        mo.experiments.load("svm_mnist", path=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"holds no training images; one of {IMAGES}"):
        mo.experiments.load("svm_mnist", path=tmp_path)
    (tmp_path / IMAGES).write_bytes(idx(digits[0]))
    with pytest.raises(ValueError, match="holds no training labels"):
        mo.experiments.load("svm_mnist", path=tmp_path)


def test_where_the_data_are_must_be_said(tmp_path):
    for where in ({}, {"path": tmp_path, "source": "openml"}):
        with pytest.raises(ValueError, match=r"path=.*or source='openml'"):
            mo.experiments.load("svm_mnist", **where)
    with pytest.raises(ValueError, match="Did you mean 'openml'"):
        mo.experiments.load("svm_mnist", source="open-ml")


def test_openml_is_asked_only_on_request_and_its_answer_verified(monkeypatch, digits):
    import sklearn.datasets

    from maml_ode.experiments import svm_mnist

    images, labels = digits
    asked = []

    def fetch(name, **options):
        asked.append((name, options["version"], options["as_frame"]))
        return sklearn.utils.Bunch(
            data=images.reshape(-1, 784), target=labels.astype(str).astype(object)
        )

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    svm_mnist._from_openml.cache_clear()
    try:
        problem = mo.experiments.load("svm_mnist", source="openml")
        assert asked == [("mnist_784", 1, False)]
        assert problem.tasks.n_samples == (200,) * 5
        assert problem.options["data"] == "MNIST (openml)"
        svm_mnist._from_openml.cache_clear()
        images = images / 255.0
        with pytest.raises(ValueError, match=r"must hold whole grey levels"):
            mo.experiments.load("svm_mnist", source="openml")
    finally:
        svm_mnist._from_openml.cache_clear()

"""The data files that come with the package, against scikit-learn's own loaders."""

import subprocess
import sys
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from maml_ode.experiments import bundled

SETUP = Path(__file__).parents[2] / "setup.cfg"


def test_diabetes_is_scikit_learns_bit_for_bit():
    theirs = pytest.importorskip("sklearn.datasets").load_diabetes()
    data, target = bundled.diabetes()
    assert (data.dtype, target.dtype) == (theirs.data.dtype, theirs.target.dtype)
    sklearn = pytest.importorskip("sklearn")
    if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8):
        assert data.tobytes() == np.ascontiguousarray(theirs.data).tobytes()
    else:  # which scaled the columns with other last bits
        np.testing.assert_allclose(data, theirs.data, rtol=1e-14)
    assert target.tobytes() == theirs.target.tobytes()
    assert list(bundled.DIABETES_COLUMNS) == theirs.feature_names


def test_digits_are_scikit_learns_bit_for_bit():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = bundled.digits()
    assert (images.dtype, images.shape) == (theirs.images.dtype, theirs.images.shape)
    assert images.tobytes() == np.ascontiguousarray(theirs.images).tobytes()
    np.testing.assert_array_equal(labels, theirs.target)


def test_what_is_read_once_cannot_be_changed():
    for array in (*bundled.diabetes(), *bundled.digits()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_the_files_come_with_their_terms():
    folder = Path(bundled.__file__).parent / "data"
    text = (folder / "LICENSE.txt").read_text()
    for file in folder.glob("*.npz"):
        assert file.name in text
    assert "10.24432/C50P49" in text
    assert "Redistributions of source code must retain the above copyright notice" in text


@pytest.mark.parametrize("name", ["figure1", "linear_regression", "diabetes", "svm_digits"])
def test_only_generated_data_need_scikit_learn(name):
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import maml_ode as mo; mo.experiments.load(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, name], check=True)


def test_the_wheel_takes_every_file_along():
    config = ConfigParser()
    config.read(SETUP)
    patterns = config["options.package_data"]["maml_ode.experiments"].split()
    folder = Path(bundled.__file__).parent
    for file in (folder / "data").iterdir():
        name = file.relative_to(folder).as_posix()
        assert any(fnmatch(name, pattern) for pattern in patterns), name

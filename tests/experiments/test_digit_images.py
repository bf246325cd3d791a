"""The stand-in images: against scipy.ndimage, and fixed once for all by their checksum."""

import hashlib

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

import maml_ode as mo
from maml_ode.experiments import svm_digits
from maml_ode.experiments.splitmix64 import SplitMix64


def draw(seed, jitter=True):
    """Redraw seed's choices in the documented order; images by scipy.ndimage."""
    bunch = load_digits()
    stream = SplitMix64(seed)
    at = np.clip((np.arange(20) + 0.5) * 8 / 20 - 0.5, 0, 7)
    rows, columns = np.meshgrid(at, at, indexing="ij")
    tasks = []
    for pair in ((1, 2), (3, 4), (5, 6), (7, 8), (9, 0)):
        chosen = []
        for digit in pair:
            population = np.flatnonzero(bunch.target == digit)
            keys = stream.bits(len(population))
            chosen += [population[j] for j in np.argsort(keys)[:100]]
        normals = stream.normals(200, 5)
        for index, (theta, q, s, *shift) in zip(chosen, normals, strict=True):
            z = ndimage.map_coordinates(bunch.images[index] / 16, [rows, columns], order=1)
            z = np.pad(z, 4)
            if jitter:
                theta, q, s, c = 0.12 * theta, 0.15 * q, 0.08 * s, np.array([13.5, 13.5])
                R = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
                A = np.exp(s) * R @ np.array([[1, 0], [q, 1]])
                z = ndimage.affine_transform(z, A, c - A @ c - shift, order=1, mode="grid-constant")
            tasks.append(np.clip(3 * (z - 0.55) + 0.5, 0, 1).ravel())
    return np.array(tasks).reshape(5, 200, 784), stream.normals(784) / 28


def test_images_are_those_of_scipy_to_half_a_grey_level():
    for jitter in (True, False):
        images, w0 = draw(3, jitter)
        problem = mo.experiments.load("svm_digits", 3, jitter=jitter)
        X = np.stack(problem.tasks.X)
        np.testing.assert_allclose(problem.w0, w0, rtol=1e-13)
        # Each pixel is rounded by at most half a level, and the mean of a thousand of them too.
        assert abs(X - (images - images.mean(axis=(0, 1)))).max() < 1.0 / 255
        assert np.sqrt(np.mean((X - (images - images.mean(axis=(0, 1)))) ** 2)) < 0.3 / 255


def test_the_mean_image_is_zero_and_pixels_are_in_range():
    problem = mo.experiments.load("svm_digits")
    X = np.stack(problem.tasks.X)
    assert abs(X.mean(axis=(0, 1))).max() < 1e-14
    pixels = X - X.reshape(-1, 784).min(axis=0)
    assert pixels.min() == 0.0
    assert 0.99 < pixels.max() <= 1.0 + 1e-12
    assert all(y.tolist() == [1.0] * 100 + [-1.0] * 100 for y in problem.tasks.y)


def test_grey_levels_are_the_same_everywhere():
    pixels, _ = svm_digits._draw(0, True)
    assert pixels.dtype == np.uint8
    assert (
        hashlib.sha256(pixels.tobytes()).hexdigest()
        == "154ff26b6c13a34ec9f42b28d65b562dad6156d3a1a88d28b81c7d2c18ee5dde"
    )


def test_starting_point_has_unit_expected_square():
    squares = [np.sum(mo.experiments.load("svm_digits", s).w0 ** 2) for s in range(10)]
    # ||w0||^2 has mean 1 and variance 2/d.
    assert abs(np.mean(squares) - 1.0) < 4 * np.sqrt(2 / 784 / 10)

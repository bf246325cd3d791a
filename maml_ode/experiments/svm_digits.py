"""Figure 2d and 2h on a stand-in for MNIST that needs no download.

The paper uses MNIST; `svm_mnist` loads it. Here the images are scikit-learn's digits (real
handwriting at 8 x 8 pixels and 17 grey levels; Alpaydin and Kaynak, UCI repository, DOI
10.24432/C50P49) brought to 28 x 28. What the tasks, constants and labels are is said in
`digit_pairs`. The rest is ours:

1. Grey levels over 16, so that z lies in [0, 1].
2. Bilinear 8 -> 20: pixel k of the output reads the input at the position
   8 (k + 1/2)/20 - 1/2, clamped to the image. Then a border of 4 zero pixels: 28 x 28.
3. A random affine map for each image, bilinear, zero outside: the output at p = (row, column) reads
   the input at c + e^s R S (p - c) - t. Here c = (13.5, 13.5), R is the rotation by theta,
   S = [[1, 0], [q, 1]] the slant; theta ~ N(0, 0.12), q ~ N(0, 0.15), s ~ N(0, 0.08) and both
   entries of t ~ N(0, 1), with standard deviations as second arguments and lengths in pixels.
   Without it (``jitter=False``) the norm does not spike at the switch.
4. Contrast z -> min(1, max(0, 3 (z - 0.55) + 0.5)).
5. Rounding to 256 grey levels, as MNIST has. It also makes the images the same on every platform:
   what mathematical libraries differ by in a sine is far below half a level.

All draws come from one `SplitMix64` stream, in this order: for each pair, 100 images of its first
digit, 100 of its second (without replacement), then the standard normals (200, 5) for theta, q, s
and t; at the end w0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from maml_ode._validation import Array, check_flag, freeze
from maml_ode.experiments.bundled import digits
from maml_ode.experiments.digit_pairs import (
    DIM,
    PAIRS,
    PER_DIGIT,
    SWITCH_TOL,
    Pixels,
    choose_pair,
    digit_experiment,
    draw_start,
)
from maml_ode.experiments.experiment import Experiment, Outline, RunConstants
from maml_ode.experiments.splitmix64 import SplitMix64

__all__ = ["OUTLINE", "build"]

SIDE, INNER, BORDER = 28, 20, 4
ROTATION, SLANT, LOG_SCALE, SHIFT = 0.12, 0.15, 0.08, 1.0

RUN = RunConstants(alpha=0.3, beta=0.01)
OUTLINE = Outline(
    name="svm_digits",
    title="Support vector machine, handwritten digits (stand-in for MNIST)",
    n_tasks=len(PAIRS),
    dim=DIM,
    n_samples=(2 * PER_DIGIT, 2 * PER_DIGIT),
    switch_tol=f"{SWITCH_TOL:g}",
    reading="squared_hinge",
    run=RUN,
)


def build(
    seed: int,
    run: RunConstants = RUN,
    *,
    jitter: bool = True,
    loss: str = "squared_hinge",
    smoothing: float = 0.1,
    reduction: str = "mean",
) -> Experiment:
    """Return the experiment ``svm_digits``; see the module for what is the paper's.

    Parameters
    ----------
    seed : int
        Chooses and distorts the images and draws w0; less than 2^64.
    run : RunConstants
        ``switch_tol`` is 0.59 by default, and w0 is drawn.
    jitter : bool
        Whether each image gets its random affine map.
    loss : {"squared_hinge", "hinge", "smooth_hinge", "smooth_squared_hinge"}
        "hinge" is the printed reading.
    smoothing : float
        Of the two smooth losses, in units of the margin.
    reduction : {"mean", "half_mean", "sum"}
        Another one than "mean" needs a ``switch_tol`` in its units.
    """
    jitter = check_flag("jitter", jitter)
    pixels, drawn = _draw(seed, jitter)
    return digit_experiment(
        pixels,
        drawn,
        run,
        name=OUTLINE.name,
        title=OUTLINE.title,
        loss=loss,
        smoothing=smoothing,
        reduction=reduction,
        seed=seed,
        options={"data": "sklearn.datasets.load_digits, brought to 28 x 28", "jitter": jitter},
        data_notes=(
            "not MNIST but scikit-learn's 8 x 8 digits, enlarged to 28 x 28, slightly rotated, "
            "slanted, scaled and shifted at random, and sharpened.",
        ),
    )


@lru_cache(maxsize=4)
def _draw(seed: int, jitter: bool) -> tuple[Pixels, Array]:
    images, labels = _enlarged_digits()
    stream = SplitMix64(seed)
    pairs = []
    for pair in PAIRS:
        z = images[choose_pair(stream, labels, pair)]
        normals = stream.normals(len(z), 5)
        if jitter:
            z = _affine(z, normals)
        contrast = np.clip(3.0 * (z - 0.55) + 0.5, 0.0, 1.0)
        pairs.append(np.rint(255.0 * contrast).astype(np.uint8).reshape(len(z), SIDE * SIDE))
    pixels = np.stack(pairs)
    pixels.flags.writeable = False
    return pixels, freeze(draw_start(stream))


@lru_cache(maxsize=1)
def _enlarged_digits() -> tuple[Array, Any]:
    levels, labels = digits()
    small = levels / 16.0
    n_small = small.shape[1]
    position = np.clip((np.arange(INNER) + 0.5) * n_small / INNER - 0.5, 0.0, n_small - 1.0)
    left = np.minimum(position.astype(np.intp), n_small - 2)
    fraction = position - left
    rows = np.arange(INNER)
    blend = np.zeros((INNER, n_small))
    blend[rows, left] = 1.0 - fraction
    blend[rows, left + 1] = fraction
    images = np.zeros((len(small), SIDE, SIDE))
    inner = slice(BORDER, BORDER + INNER)
    images[:, inner, inner] = blend @ small @ blend.T
    return freeze(images), labels


def _affine(images: Array, normals: Array) -> Array:
    """Resample ``images`` (n, 28, 28) by the affine maps that ``normals`` (n, 5) stand for."""
    theta, slant, log_scale = normals[:, :3].T * np.array([[ROTATION], [SLANT], [LOG_SCALE]])
    scale, cosine, sine = np.exp(log_scale), np.cos(theta), np.sin(theta)
    # R S with R = [[cos, -sin], [sin, cos]] and S = [[1, 0], [q, 1]]
    matrix = np.empty((len(images), 2, 2))
    matrix[:, 0, 0] = scale * (cosine - sine * slant)
    matrix[:, 0, 1] = -scale * sine
    matrix[:, 1, 0] = scale * (sine + cosine * slant)
    matrix[:, 1, 1] = scale * cosine
    centre = 0.5 * (SIDE - 1)
    grid = np.stack(np.meshgrid(*2 * [np.arange(SIDE) - centre], indexing="ij"))
    where = np.einsum("nij,jrc->inrc", matrix, grid)
    where += centre - SHIFT * normals[:, 3:].T[:, :, None, None]

    # One ring of zeros makes "zero outside" an ordinary bilinear read.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    where = np.clip(where + 1.0, 0.0, SIDE + 1.0)
    low = np.minimum(where.astype(np.intp), SIDE)
    (row, column), (down, right) = low, where - low
    image = np.arange(len(images))[:, None, None]
    upper = (1.0 - right) * padded[image, row, column] + right * padded[image, row, column + 1]
    lower = (1.0 - right) * padded[image, row + 1, column] + right * padded[
        image, row + 1, column + 1
    ]
    resampled: Array = (1.0 - down) * upper + down * lower
    return resampled

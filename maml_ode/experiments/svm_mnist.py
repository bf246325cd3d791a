"""Figure 2d and 2h on MNIST itself, which is not bundled.

``load("svm_mnist", path=folder)`` reads the training set's two IDX files from a folder;
``load("svm_mnist", source="openml")`` fetches "mnist_784" with `sklearn.datasets.fetch_openml`, the
only case in which the package uses the network. Shapes, grey levels and label counts are verified
either way.

What the tasks, constants and labels are is said in `digit_pairs`. Ours beside that: the 200 images
of a pair are chosen at random among the training images (all 70,000 when they come from OpenML), by
`SplitMix64` as in `svm_digits`; and eps0 = 0.59 was fitted on the images of `svm_digits`, not on
MNIST.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maml_ode._validation import check_choice, shown
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
from maml_ode.experiments.idx import find_training_files, read_idx
from maml_ode.experiments.splitmix64 import SplitMix64

__all__ = ["OUTLINE", "build"]

RUN = RunConstants(alpha=0.3, beta=0.01)
OUTLINE = Outline(
    name="svm_mnist",
    title="Support vector machine, MNIST",
    n_tasks=len(PAIRS),
    dim=DIM,
    n_samples=(2 * PER_DIGIT, 2 * PER_DIGIT),
    switch_tol=f"{SWITCH_TOL:g}",
    reading="squared_hinge",
    run=RUN,
    needs="MNIST itself, --set path=FOLDER (IDX files) or --set source=openml.",
)


def build(
    seed: int,
    run: RunConstants = RUN,
    *,
    path: str | os.PathLike[str] | None = None,
    source: str | None = None,
    loss: str = "squared_hinge",
    smoothing: float = 0.1,
    reduction: str = "mean",
) -> Experiment:
    """Return the experiment ``svm_mnist``; see the module for what is the paper's.

    Parameters
    ----------
    seed : int
        Chooses the images and draws w0; less than 2^64.
    run : RunConstants
        As in `svm_digits`.
    path : path-like, optional
        Folder with ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, plain or ``.gz``.
    source : {"openml"}, optional
        Fetch the images from OpenML instead.
    loss, smoothing, reduction
        As in `svm_digits`.

    Raises
    ------
    ValueError
        Unless exactly one of ``path`` and ``source`` is given; if files are missing, damaged or not
        MNIST.
    """
    if (path is None) == (source is None):
        raise ValueError(
            "svm_mnist needs path= (a folder with MNIST's IDX files) or source='openml' (fetched "
            "with scikit-learn), and not both; svm_digits needs neither."
        )
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path must be a text or a path, not {shown(path)}.")
        files = find_training_files(Path(path))
        stamps = tuple((stat.st_mtime_ns, stat.st_size) for stat in map(os.stat, files))
        images, labels = _from_files(*files, stamps)
        origin = "IDX files"
    else:
        check_choice("source", source, ["openml"])
        images, labels = _from_openml()
        origin = "openml"

    stream = SplitMix64(seed)
    pixels = np.stack([images[choose_pair(stream, labels, pair)] for pair in PAIRS])
    return digit_experiment(
        pixels.reshape(*pixels.shape[:2], -1),
        draw_start(stream),
        run,
        name=OUTLINE.name,
        title=OUTLINE.title,
        loss=loss,
        smoothing=smoothing,
        reduction=reduction,
        seed=seed,
        options={"data": f"MNIST ({origin})"},
        data_notes=("images drawn at random, without replacement.",),
    )


@lru_cache(maxsize=1)
def _from_files(
    images_file: Path, labels_file: Path, stamps: tuple[tuple[int, int], ...]
) -> tuple[Pixels, Pixels]:
    # ``stamps`` (time and size) make a replaced file a new entry of the cache.
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    _verify(images, labels)
    return images, labels


@lru_cache(maxsize=1)
def _from_openml() -> tuple[Pixels, Pixels]:
    from sklearn.datasets import fetch_openml

    bunch = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff")
    levels = np.asarray(bunch.data, dtype=np.float64)
    if levels.ndim != 2 or levels.shape[1] != 784:
        raise ValueError(
            f"OpenML's mnist_784 must have shape (n, 784), but it has shape {levels.shape}."
        )
    if not ((levels >= 0) & (levels <= 255) & (levels == np.rint(levels))).all():
        raise ValueError("OpenML's mnist_784 must hold whole grey levels from 0 to 255.")
    images = levels.astype(np.uint8).reshape(-1, 28, 28)
    labels = np.asarray(bunch.target).astype(np.uint8)
    _verify(images, labels)
    return images, labels


def _verify(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
    """Refuse images and labels that cannot be MNIST.

    Raises
    ------
    ValueError
        If the images are not (n, 28, 28), the labels not (n,) in 0..9, the grey levels do not span
        0..255, or a digit has fewer than 100 images.
    """
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"MNIST's images must have shape (n, 28, 28), not {images.shape}.")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"MNIST's images have shape {images.shape} and its labels {labels.shape}; the two "
            "files do not belong together."
        )
    counts = np.bincount(labels, minlength=10)
    if counts.size > 10:
        raise ValueError(f"MNIST's labels must be 0 to 9, but there is a label {counts.size - 1}.")
    if counts.min() < PER_DIGIT:
        digit = int(np.argmin(counts))
        raise ValueError(
            f"{PER_DIGIT} images of each digit are needed, but there are {counts[digit]} of "
            f"{digit}."
        )
    lowest, highest = int(images.min()), int(images.max())
    if (lowest, highest) != (0, 255):
        raise ValueError(
            f"MNIST's grey levels must span 0 to 255, but these span {lowest} to {highest}; were "
            "the images rescaled or blanked?"
        )

"""Figure 1 and the roots of a slope in mpmath; no code is shared with the library."""

import mpmath
import numpy as np

FIGURE_1 = {"a": [0.505, 0.505], "b": [1.0, 1e-4], "omega": [1.0, 100.0]}


def exact_slope(w, alpha, context=mpmath.mp):
    """Return F' of Figure 1 from the double-precision data, in the arithmetic of ``context``."""
    total = context.mpf(0)
    alpha = context.mpf(alpha)
    for a, b, omega in zip(*FIGURE_1.values(), strict=True):
        a, b, omega = map(context.mpf, (a, b, omega))

        def first(x, a=a, b=b, omega=omega):
            return 2 * a * x - b * omega * context.cos(omega * x)

        second = 2 * a + b * omega**2 * context.sin(omega * w)
        total += (1 - alpha * second) * first(w - alpha * first(w)) / 2
    return total


def roots(slope, low, high, count):
    """Return the roots of a function between the points of a grid where its sign changes."""
    grid = [mpmath.mpf(w) for w in np.linspace(low, high, count)]
    signs = [mpmath.sign(slope(w)) for w in grid]
    return [
        mpmath.findroot(slope, (grid[k], grid[k + 1]), solver="anderson")
        for k in range(count - 1)
        if signs[k] * signs[k + 1] < 0
    ]

import math

import numpy as np
import pytest

from maml_ode.experiments.splitmix64 import SplitMix64

MASK = 2**64 - 1


def words(seed, n):
    """SplitMix64 with Python's integers, one word at a time."""
    state = seed
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def test_first_word_and_first_normal_of_seed_0():
    assert int(SplitMix64(0).bits(1)[0]) == 0xE220A8397B1DCDAF
    assert SplitMix64(0).normals(1)[0] == pytest.approx(-1.88390833335244, abs=5e-15)


@pytest.mark.parametrize("seed", [0, 1, 20240607, MASK])
def test_the_vectorised_words_are_those_of_the_recurrence(seed):
    assert SplitMix64(seed).bits(1000).tolist() == list(words(seed, 1000))


def test_drawing_in_pieces_is_drawing_at_once():
    whole, pieces = SplitMix64(7), SplitMix64(7)
    expected = whole.bits(600)
    assert np.concatenate([pieces.bits(n) for n in (0, 1, 99, 500)]).tolist() == expected.tolist()


def test_normals_are_box_and_mullers_in_pairs():
    u = [(z >> 11) * 2.0**-53 for z in words(3, 6)]
    expected = []
    for u1, u2 in zip(u[::2], u[1::2], strict=True):
        r = math.sqrt(-2 * math.log(1 - u1))
        expected += [r * math.cos(2 * math.pi * u2), r * math.sin(2 * math.pi * u2)]
    got = SplitMix64(3).normals(5, 1)
    assert got.shape == (5, 1)
    np.testing.assert_allclose(got.ravel(), expected[:5], rtol=1e-14)


def test_normals_have_the_moments_of_the_normal_distribution():
    z = SplitMix64(11).normals(200_000)
    # Five standard deviations of each sample moment.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - moment) < 5 * math.sqrt(variance / z.size)


def test_choose_takes_distinct_entries_and_all_of_them_alike():
    population = np.arange(10, 30)
    hits = np.zeros(30, dtype=int)
    stream = SplitMix64(5)
    for _ in range(2000):
        chosen = stream.choose(population, 5)
        assert len(set(chosen.tolist())) == 5
        hits[chosen] += 1
    assert hits[:10].sum() == 0
    assert abs(hits[10:] - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError)]
)
def test_seeds_outside_the_state_are_refused(seed, error):
    with pytest.raises(error, match="seed must be"):
        SplitMix64(seed)

"""Test the permutation test against SciPy, its error rate by simulation, and the comparison on small tables."""

from itertools import combinations

import numpy as np
import pandas
import pytest
from scipy import stats

from auvmae.summaries.conditions import compare_conditions
from auvmae.summaries.permutation import effect_size, holm, permutation_p


@pytest.mark.parametrize("people", [2, 5, 9])
def test_p_values_are_scipys(people):
    differences = np.random.default_rng(people).normal(0.4, 1, (people, 6))
    differences[:, 5] = 0
    expected = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=2**people)
    np.testing.assert_allclose(permutation_p(differences), expected.pvalue)


def test_random_flips_come_close_to_all_flips():
    differences = np.random.default_rng(0).normal(0.3, 1, (13, 8))
    some, every = permutation_p(differences, draws=4000), permutation_p(differences)
    assert abs(some - every).max() < 0.04
    assert permutation_p(np.ones((40, 1)), draws=99) == [0.01]


def test_the_effect_size_is_that_of_a_paired_t_test():
    differences = np.random.default_rng(1).normal(0.4, 1, (7, 5))
    t = stats.ttest_1samp(differences, 0).statistic
    np.testing.assert_allclose(effect_size(differences), t / np.sqrt(7))
    assert np.isnan(effect_size(np.ones((3, 1)))).all()


def test_holm_is_the_closed_test_of_bonferronis():
    p = np.random.default_rng(2).uniform(0, 0.3, 6)
    subsets = [list(chosen) for size in range(1, 7) for chosen in combinations(range(6), size)]
    closed = [max(min(1, len(chosen) * p[chosen].min()) for chosen in subsets if one in chosen) for one in range(6)]
    np.testing.assert_allclose(holm(p), closed)


def test_equal_conditions_are_rarely_significant():
    rng = np.random.default_rng(3)
    # skewed and correlated, like shares of time; with fewer than ten people, 14 corrected p-values are never below 0.05
    tables = rng.gamma(0.5, 1, (1000, 10, 2, 14)) + rng.gamma(0.5, 1, (1000, 10, 2, 1))
    p = np.array([permutation_p(table[:, 0] - table[:, 1]) for table in tables])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.01)
    assert 0 < sum((holm(one) < 0.05).any() for one in p) <= 50


def people(values, first="rest", second="smile"):
    rows = [
        {"person": person, "condition": condition, "au": au, "share_of_time": share, "events_per_minute": 10 * share}
        for person, shares in values.items()
        for condition, by_au in zip((first, second), shares, strict=True)
        for au, share in zip(("AU06", "AU12"), () if by_au is None else by_au, strict=False)
    ]
    return pandas.DataFrame(rows).assign(mean_intensity=np.nan)


def test_conditions_are_compared_over_the_people_in_both():
    rng = np.random.default_rng(4)
    shares = {f"p{number}": (rng.uniform(0, 0.3, 2), rng.uniform(0.2, 0.6, 2)) for number in range(6)}
    table = people(shares | {"lone": (rng.uniform(0, 1, 2), None)})
    found = compare_conditions(table, "smile", "rest")
    assert found.left_out == {"lone": "appears only in the condition 'rest'"}
    assert found.people == [*shares]
    assert found.table["measure"].unique().tolist() == ["share_of_time", "events_per_minute"]  # no intensities
    differences = np.array([second - first for first, second in shares.values()])
    np.testing.assert_allclose(found.shares, differences)
    rows = found.table[found.table["measure"] == "share_of_time"]
    np.testing.assert_allclose(rows["difference"], differences.mean(axis=0))
    np.testing.assert_allclose(rows["mean_second"], np.mean([first for first, _ in shares.values()], axis=0))
    np.testing.assert_allclose(rows["p"], permutation_p(differences))
    np.testing.assert_allclose(rows["p_holm"], holm(permutation_p(differences)))
    np.testing.assert_allclose(rows["d_z"], effect_size(differences))


def test_what_cannot_be_compared_is_an_error():
    table = people({"a": ([0.1, 0.2], [0.3, 0.4]), "b": ([0.1, 0.2], None)})
    with pytest.raises(ValueError, match="has no condition 'laugh'; it has rest, smile"):
        compare_conditions(table, "laugh", "rest")
    with pytest.raises(ValueError, match="needs two people in both conditions, found 1 in 'rest' and 'smile'"):
        compare_conditions(table, "rest", "smile")

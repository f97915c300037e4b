"""Compare two conditions within persons."""

from dataclasses import dataclass

import numpy as np
import pandas
from numpy.typing import NDArray

from .permutation import effect_size, holm, permutation_p

COMPARED = ("share_of_time", "events_per_minute", "mean_intensity")
"""Measures that are compared; others are undefined for a person who never shows the action unit."""


@dataclass(frozen=True)
class ConditionComparison:
    """Hold the comparison of two conditions over the P people who appear in both.

    Args:
        conditions: Names of the first and the second condition.
        people: P names.
        table: One row per measure and action unit: measure, au, people, mean_first, mean_second, difference (first -
            second), d_z, p, p_holm.
        shares: Differences of `share_of_time` of each person, float (P, N).
        left_out: Reason for each person who is left out.
    """

    conditions: tuple[str, str]
    people: list[str]
    table: pandas.DataFrame
    shares: NDArray[np.float64]
    left_out: dict[str, str]


def compare_conditions(people: pandas.DataFrame, first: str, second: str) -> ConditionComparison:
    """Test for every action unit whether two conditions differ within persons.

    Each person counts once, whatever the length of the recordings. `p_holm` corrects for the number of action units,
    separately for each measure.

    Args:
        people: Measures with the columns person, condition, au.
        first, second: Names of the conditions.

    Raises:
        ValueError: If a condition does not occur, or fewer than two people appear in both.
    """
    found = [*dict.fromkeys(people["condition"])]
    for condition in (first, second):
        if condition not in found:
            raise ValueError(f"the table of people has no condition {condition!r}; it has {', '.join(found)}")
    both = {
        condition: people[people["condition"] == condition].pivot(index="person", columns="au")
        for condition in (first, second)
    }
    names = sorted(both[first].index.intersection(both[second].index))
    only = {
        person: f"appears only in the condition {condition!r}"
        for condition, measures in both.items()
        for person in measures.index
        if person not in names
    }
    if len(names) < 2:
        raise ValueError(
            f"a comparison within persons needs two people in both conditions, found {len(names)} in {first!r} and "
            f"{second!r}"
        )
    aus = [*dict.fromkeys(people["au"])]
    tables, differences_of = [], {}
    for measure in COMPARED:
        values = [both[condition][measure].loc[names, aus].to_numpy() for condition in (first, second)]
        differences_of[measure] = differences = values[0] - values[1]
        if np.isnan(differences).any():  # the model grades no intensities
            continue
        p = permutation_p(differences)
        tables.append(
            pandas.DataFrame(
                {
                    **{"measure": measure, "au": aus, "people": len(names)},
                    **{"mean_first": values[0].mean(axis=0), "mean_second": values[1].mean(axis=0)},
                    **{"difference": differences.mean(axis=0), "d_z": effect_size(differences)},
                    **{"p": p, "p_holm": holm(p)},
                }
            )
        )
    table = pandas.concat(tables, ignore_index=True)
    return ConditionComparison((first, second), names, table, differences_of["share_of_time"], only)

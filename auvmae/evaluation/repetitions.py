"""Is a score one of the folds chosen? Mean and spread over repetitions, each with the subjects dealt anew."""

import json
from collections.abc import Sequence

import numpy as np

from .experiments import Experiment, dealt_folds
from .tables import Row


def repetition_rows(experiments: Sequence[Experiment], rows: Sequence[Row]) -> list[Row]:
    """Two rows for each set of experiments that differ in their repetition alone: the mean and the deviation.

    Args:
        experiments: In any order.
        rows: The row of each.

    Returns:
        Mean and sample standard deviation, under the name of the first of them; nothing for one repetition.
    """
    groups: dict[str, list[int]] = {}
    for index, experiment in enumerate(experiments):
        others = {name: value for name, value in experiment.settings.items() if name != "repetition"}
        groups.setdefault(json.dumps(others), []).append(index)
    found = []
    for members in groups.values():
        if len(members) > 1:
            values = np.array([rows[index].values for index in members])
            name = rows[members[0]].method.replace(dealt_folds(experiments[members[0]].folds[0].run), "")
            over = f"over {len(members)} repetitions (not the published protocol)"
            found.append(Row(f"{name}: mean {over}", "computed", values.mean(axis=0).tolist()))
            found.append(Row(f"{name}: standard deviation {over}", "computed", values.std(axis=0, ddof=1).tolist()))
    return found

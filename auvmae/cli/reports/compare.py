"""Test the difference between two runs (`auvmae compare`).

The bootstrap shows whether the difference would hold for other test subjects.
"""

import argparse
from typing import TYPE_CHECKING

from ...system.endings import failed
from ...system.settings import at_least_one

if TYPE_CHECKING:
    from ...evaluation.experiments import Experiment

HELP = "compare two runs with a paired bootstrap over subjects"

DESCRIPTION = """\
Compare the F1 of two runs, or of two folders with one run per fold, from their
saved predictions. The comparison is per AU and on average, over the subjects
and AUs that both runs were scored on.

The paired bootstrap resamples the test subjects with replacement, the same
subjects for both runs. The table gives the 95 % interval of the difference
A - B, and the fraction of draws in which A is better (ties count half). The
interval reflects the choice of test subjects, not the training seed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae compare`."""
    parser.add_argument(
        "first", metavar="A", help="output folder of run_finetune.py, or a folder with one run per fold"
    )
    parser.add_argument("second", metavar="B", help="output folder of the run to compare A with")
    parser.add_argument("--draws", type=at_least_one, default=10_000, help="number of bootstrap draws (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the bootstrap (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Compare two runs, print the table and return the exit code.

    The exit code is 2 if the runs cannot be read or compared.
    """
    from ...evaluation.comparison import compare
    from ...evaluation.tables import markdown_table

    try:
        first, second = _load(arguments.first), _load(arguments.second)
        found = compare(first, second, arguments.draws, arguments.seed)
    except (ValueError, OSError) as error:
        return failed("auvmae compare", error)
    print(f"A: {arguments.first} ({first.dataset}: {first.description})")
    print(f"B: {arguments.second} ({second.dataset}: {second.description})")
    average = f"mean over {found.num_folds} folds" if found.num_folds > 1 else "pooled over subjects"
    print(
        f"F1 in percent, {average}; {found.num_subjects} subjects, {found.num_frames} frames, {arguments.draws} draws\n"
    )
    rows = [["AU", "A", "B", "A - B", "95 % interval", "A > B"]]
    for name, f1_first, f1_second, (low, high), wins in zip(
        [*found.au_names, "macro F1"], found.first, found.second, found.interval.T, found.wins, strict=True
    ):
        values = (f"{100 * f1_first:.1f}", f"{100 * f1_second:.1f}", f"{100 * (f1_first - f1_second):+.1f}")
        rows.append([name, *values, f"[{100 * low:+.1f}, {100 * high:+.1f}]", f"{100 * wins:.1f} %"])
    print(markdown_table(rows))
    return 0


def _load(path: str) -> "Experiment":
    """Load the only experiment in a folder."""
    from ...evaluation.experiments import experiment_names, group_folds, load_runs

    experiments = group_folds(load_runs(path))
    if len(experiments) > 1:
        names = "; ".join(experiment_names(experiments))
        raise ValueError(f"{path} contains runs with different settings. Choose one of them: {names}.")
    return experiments[0]

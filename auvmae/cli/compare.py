"""`auvmae compare A B`: the difference of two runs, and whether it would survive other test subjects."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.experiments import Experiment

HELP = "paired bootstrap over subjects of the difference between two runs"

DESCRIPTION = """\
Compare the F1 of two runs (or of two folders with the folds of a run each) from their saved predictions, per AU and on
average, on the subjects and AUs that both were scored on. The test subjects are drawn anew, with replacement, the same
ones for both: the interval holds 95 % of the differences; the last column is the share of draws in which A is better (a
tie is half). This tells the chance of other subjects, not that of another seed of the training.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae compare`."""
    parser.add_argument("first", metavar="A", help="output folder of run_finetune.py, or a folder of its folds")
    parser.add_argument("second", metavar="B", help="the same of the run to compare it with")
    parser.add_argument("--draws", type=int, default=10_000, help="draws of the bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; the exit code is 2 where the two cannot be read or cannot be compared."""
    from ..evaluation.comparison import compare
    from ..evaluation.tables import markdown_table

    try:
        first, second = _load(arguments.first), _load(arguments.second)
        found = compare(first, second, arguments.draws, arguments.seed)
    except (ValueError, OSError) as error:
        print(f"auvmae compare: {error}", file=sys.stderr)
        return 2
    print(f"A: {arguments.first} ({first.dataset}: {first.description})")
    print(f"B: {arguments.second} ({second.dataset}: {second.description})")
    average = f"mean over {found.num_folds} folds" if found.num_folds > 1 else "pooled over the subjects"
    print(
        f"F1 in percent, {average}; {found.num_subjects} subjects, {found.num_frames} frames, {arguments.draws} draws\n"
    )
    rows = [["AU", "A", "B", "A - B", "95 % interval", "A > B"]]
    for name, of_first, of_second, (low, high), wins in zip(
        [*found.au_names, "macro F1"], found.first, found.second, found.interval.T, found.wins, strict=True
    ):
        values = (f"{100 * of_first:.1f}", f"{100 * of_second:.1f}", f"{100 * (of_first - of_second):+.1f}")
        rows.append([name, *values, f"[{100 * low:+.1f}, {100 * high:+.1f}]", f"{100 * wins:.1f} %"])
    print(markdown_table(rows))
    return 0


def _load(path: str) -> "Experiment":
    """The one experiment in a folder."""
    from ..evaluation.experiments import experiment_names, group_folds, load_runs

    experiments = group_folds(load_runs(path))
    if len(experiments) > 1:
        names = "; ".join(experiment_names(experiments))
        raise ValueError(f"{path} holds runs with different settings; name one of them: {names}.")
    return experiments[0]

"""Tabulate the scores of runs from their saved predictions (`auvmae summarize`)."""

import argparse

from ...system.endings import failed
from ...system.files import writable
from ...system.settings import at_least_one

HELP = "tabulate F1, accuracy and more from saved predictions"

DESCRIPTION = """\
Score runs from their saved predictions. Runs with the same settings are
treated as the folds of one experiment.

The tables show F1 and accuracy per AU and their mean over AUs and folds, with
a bootstrap interval over subjects, next to the results published in the paper.
For resplit folds (--repeats), they include the mean and standard deviation. A
final table gives each metric of occurrences as one number. Runs that trained
intensities also get tables of ICC(3,1), Pearson's correlation and errors. With -o, each table is written as
Markdown, CSV and LaTeX. A run that used its test data to choose anything is
labelled so in every table.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae summarize`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="output folder of run_finetune.py, or a folder with several of them"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="output folder (default: print only)")
    parser.add_argument(
        "--metrics",
        nargs="+",
        help="metrics to show: f1, accuracy, average_precision, roc_auc, calibration_error, event_f1, subject_f1, icc, "
        "pearson, mae, mse, or all (default: f1, accuracy and those of intensities); average_precision and roc_auc "
        "need `pip install auvmae[ranking]`",
    )
    parser.add_argument("--by_subject", action="store_true", help="show the F1 of each test subject")
    parser.add_argument("--draws", type=at_least_one, default=10_000, help="number of bootstrap draws (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the bootstrap (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Score the runs, print and save the tables, and return the exit code.

    The exit code is 2 if runs cannot be read or do not belong together.
    """
    from ...evaluation.experiments import load_runs
    from ...evaluation.summary import summary_tables

    try:
        with writable(arguments.output):
            runs = [run for path in arguments.runs for run in load_runs(path)]
            tables = summary_tables(runs, arguments.metrics, arguments.by_subject, arguments.draws, arguments.seed)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae summarize", error)
    # saved first, as the reader of a pipe may close it
    written = [path for table in tables for path in table.save(arguments.output)] if arguments.output else []
    print("\n".join(table.markdown() for table in tables), end="")
    for path in written:
        print(f"written: {path}")
    return 0

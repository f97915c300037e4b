"""`auvmae summarize`: the tables of a paper from the saved predictions of runs."""

import argparse
import sys

HELP = "tables of F1, accuracy and more from the saved predictions of runs"

DESCRIPTION = """\
Score runs from their saved predictions. Runs with the same settings are the folds of one experiment: F1 and accuracy
per AU, mean over AUs and folds, with the paper's published rows beside them and an interval by bootstrap over subjects;
of repeated folds (--repeats) also mean and spread; then each metric as one number. With -o each table is written as
Markdown, CSV and LaTeX.
A run in which something was chosen on the very data that is scored carries that label in every table.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae summarize`."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output folder of run_finetune.py, or a folder of them")
    parser.add_argument("-o", "--output", metavar="OUT", help="the folder to write to; without it, print only")
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=["f1", "accuracy"],
        help="the metrics to show: f1, accuracy (these two by default), average_precision, roc_auc, calibration_error, "
        "event_f1, subject_f1, or all; average_precision and roc_auc need pip install auvmae[ranking]",
    )
    parser.add_argument("--by_subject", action="store_true", help="also show the F1 of each test subject")
    parser.add_argument("--draws", type=int, default=10_000, help="draws of the bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Score, print and save; the exit code is 2 where runs cannot be read or do not fit together."""
    from ..evaluation.experiments import load_runs
    from ..evaluation.summary import summary_tables

    try:
        runs = [run for path in arguments.runs for run in load_runs(path)]
        tables = summary_tables(runs, arguments.metrics, arguments.by_subject, arguments.draws, arguments.seed)
    except (ValueError, OSError, ImportError) as error:
        print(f"auvmae summarize: {error}", file=sys.stderr)
        return 2
    print("\n".join(table.markdown() for table in tables), end="")
    if arguments.output:
        for table in tables:
            for path in table.save(arguments.output):
                print(f"written: {path}")
    return 0

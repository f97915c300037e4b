"""Describe the predictions of a folder (`auvmae describe`)."""

import argparse
from typing import TYPE_CHECKING

from ...system.endings import failed
from ...system.files import writable

if TYPE_CHECKING:
    from ...summaries.description import Description

HELP = "summarise predictions per recording and person, and compare conditions"

DESCRIPTION = """\
Describe the predictions that `auvmae predict` wrote to FOLDER. OUT contains:
  recordings.csv    for each recording and AU: the share of time it is present,
                    its mean and peak intensity (if the model grades it), its
                    events per minute, their mean duration, the slope of their
                    onsets (grades per second), and how long no face was seen
  cooccurrence.csv  for each pair of AUs: P(both | at least one), with a figure
  transitions.csv   the 16 transitions of each pair from frame to frame, with a
                    figure of one pair (the paper's state machine)
  describe_report.json  the settings, the model, and what was left out
Frames without a face are missing: they count neither as time with an AU nor as
time without it.

With --people TABLE, there are also
  people.csv        the same measures per person and condition
  comparison.csv    two conditions compared within persons, with a figure:
                    mean difference, Cohen's d_z, the p-value of a paired
                    permutation test, and p corrected for the number of AUs
                    (Holm)
TABLE is a CSV file with the columns file and person, and optionally condition,
group and face (the face_id, for predictions with --every-face).

The exit code is 0 if all is well, 2 if nothing could be described, and 3 if
files or people were left out; the reasons are printed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae describe`."""
    parser.add_argument("folder", metavar="FOLDER", help="output folder of `auvmae predict` (searched recursively)")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="output folder")
    parser.add_argument("--people", metavar="TABLE", help="CSV file with the person in each file, see above")
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar="CONDITION",
        help="conditions to compare within persons (default: those of the table, if it has exactly two)",
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar="AU",
        help="draw the transitions of two AUs, e.g. AU6 AU12; may be repeated (default: the pair with the highest "
        "co-occurrence)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Describe the predictions, print a summary and return the exit code."""
    from ...summaries.description import describe_folder

    compared = tuple(arguments.compare) if arguments.compare else None
    try:
        with writable(arguments.output):
            found = describe_folder(arguments.folder, arguments.people, compared, progress=True)
            written = found.save(arguments.output, [tuple(pair) for pair in arguments.pair])
    except (ValueError, OSError) as error:
        return failed("auvmae describe", error)
    _report(found)
    for path in written:
        print(f"written: {path}")
    for name, reason in found.left_out.items():
        print(f"left out: {name}: {reason}")
    return 3 if found.left_out else 0


def _report(found: "Description") -> None:
    recordings = found.recordings
    per_face = recordings.drop_duplicates(["recording", "face"])
    absent = recordings.drop_duplicates("recording")["seconds_without_face"].sum()
    people = "" if found.people is None else f", {found.people['person'].nunique()} people"
    count = per_face["recording"].nunique()
    print(
        f"{count} recording{'s' * (count != 1)}{people}: {per_face['seconds'].sum() / 60:.1f} minutes with a "
        f"face, {absent / 60:.1f} without"
    )
    if found.comparison is None:
        return
    first, second = found.comparison.conditions
    table = found.comparison.table
    significant = table[table["p_holm"] < 0.05]
    print(
        f"{first} - {second}, {len(found.comparison.people)} people in both: {len(significant)} of {len(table)} "
        "comparisons are significant"
    )
    for row in significant.to_dict("records"):
        print(
            f"  {row['au']} {row['measure']}: {row['mean_first']:.3g} and {row['mean_second']:.3g}, "
            f"d_z {row['d_z']:.2f}, p {row['p_holm']:.3g} (Holm)"
        )

"""Compute, save and plot the label statistics of a fold (`auvmae stats`)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...system.endings import failed
from ...system.files import writable
from ...system.settings import at_least_one

if TYPE_CHECKING:
    from ...data.statistics import FoldStatistics

HELP = "compute, save and plot the label statistics of a dataset"

DESCRIPTION = """\
Compute the label statistics of the training split of a fold: videos, frames
and clips, occurrence rates before and after the rare-AU augmentation (the
paper's Fig. 5), label weights, co-occurrence (Fig. 3), transitions (Fig. 4)
and flip rates. With -o, they are saved to OUT/statistics.json and
OUT/statistics.safetensors, along with the figures.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae stats`."""
    parser.add_argument(
        "--dataset",
        default="synthetic",
        help="dataset name as for run_finetune.py: bp4d, disfa, ... (default: synthetic)",
    )
    parser.add_argument("--data_dir", help="folder of the dataset; not needed for synthetic")
    parser.add_argument("--fold", type=int, default=1, help="subject-exclusive fold, from 1 (default: 1)")
    parser.add_argument(
        "--split", choices=("train", "test", "all"), default="train", help="split of the fold, or both (default: train)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="output folder (default: print only)")
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        metavar="AU",
        help="show the transitions of two AUs, e.g. AU6 AU12; may be repeated (default: the pair with the highest "
        "co-occurrence)",
    )
    parser.add_argument("--clip_length", type=at_least_one, default=128, help="frames per clip (default: 128)")
    parser.add_argument(
        "--rare_aus",
        nargs="*",
        metavar="AU",
        help="AUs to augment (default: those in --dataset_options, else the paper's, else those with a weight > 1)",
    )
    parser.add_argument("--dataset_options", default="{}", help="options of the dataset builder, as JSON")
    parser.add_argument("--num_proc", type=at_least_one, help="number of processes that index the dataset")


def run(arguments: argparse.Namespace) -> int:
    """Print the statistics, save and plot them if asked, and return the exit code.

    The exit code is 2 if the dataset cannot be read.
    """
    from ...knowledge.fsm import closest_pair

    try:
        with writable(arguments.output):
            found = _count(arguments)
            pairs = (
                [found.pair(*pair) for pair in arguments.pair] if arguments.pair else [closest_pair(found.cooccurrence)]
            )
    except (ValueError, OSError) as error:
        return failed("auvmae stats", error)
    written = []
    if arguments.output:  # saved first, as the reader of a pipe may close it
        written = [*found.save(arguments.output), *_draw(found, pairs, Path(arguments.output))]
    _report(found, pairs)
    for path in written:
        print(f"written: {path}")
    return 0


def _count(arguments: argparse.Namespace) -> "FoldStatistics":
    import datasets

    from ...data import au_names, load_au_dataset
    from ...data.clips import RARE_AUS, find_rare_aus, video_labels
    from ...data.statistics import fold_statistics
    from ...knowledge.facs import au_label
    from ...system.settings import parse_options

    flags = {"name": "--dataset"} | {name: f"--{name}" for name in ("data_dir", "fold", "clip_length", "num_proc")}
    given = parse_options(arguments.dataset_options, "--dataset_options", flags)
    options = {"clip_length": arguments.clip_length, **given}
    splits = load_au_dataset(
        arguments.dataset, arguments.data_dir, arguments.fold, num_proc=arguments.num_proc, **options
    )
    names = au_names(splits)
    if not names:
        raise ValueError(f"{arguments.dataset} has no AU labels to count")
    rows = datasets.concatenate_datasets([*splits.values()]) if arguments.split == "all" else splits[arguments.split]
    layout = "disfa" if arguments.dataset == "synthetic" else arguments.dataset
    numbers = options.get("rare_aus", RARE_AUS.get(layout))
    if arguments.rare_aus is not None:
        rare = arguments.rare_aus
    elif numbers is not None:
        rare = [au_label(number) for number in numbers]
    else:
        rare = [names[column] for column in find_rare_aus(video_labels(splits["train"]))]
    unknown = set(rare) - set(names)
    if unknown:
        raise ValueError(f"unknown --rare_aus {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    source = {name: getattr(arguments, name) for name in ("dataset", "fold", "split")}
    source["dataset_options"] = given
    subjects = dict(zip(rows["video"], rows["subject"], strict=True)).values()
    return fold_statistics(
        video_labels(rows), names, [*map(names.index, rare)], options["clip_length"], list(subjects), source
    )


def _report(found: "FoldStatistics", pairs: Sequence[tuple[int, int]]) -> None:
    length, names = found.clip_length, found.au_names
    print(
        f"{found.num_subjects} subjects, {found.num_videos} videos, {found.num_frames} frames "
        f"({found.num_coded_frames} coded)\n"
        f"{found.num_clips} clips of {length} frames ({found.num_clips - found.num_whole_clips} are shorter)"
    )
    if found.rare_aus:
        print(
            f"{found.num_rare_clips} clips around {', '.join(found.rare_aus)}: {found.num_rare_frames} frames, median "
            f"length {found.median_rare_frames:g}; brought to {length} frames, they add {found.num_added_clips} clips"
        )
    print(
        "\noccurrence rates in % of the coded frames: without augmentation (before), with the rare-AU clips as cut "
        f"(+ cut), with these clips brought to {length} frames (+ added)"
    )
    header = ["AU", "before", "+ cut", "+ added", "weight", "flips (%)"]
    rates = (found.occurrence_rates, found.occurrence_rates_added, found.occurrence_rates_extended)
    columns = [
        *(np.char.mod("%.2f", 100 * rate) for rate in rates),
        np.char.mod("%.4f", found.label_weights),
        np.char.mod("%.3f", 100 * found.flip_rates),
    ]
    _print_table([header, *([name, *row] for name, row in zip(names, zip(*columns, strict=True), strict=True))])

    print(f"\nself-loops (neither AU of a pair changes): {100 * found.self_loop_mass:.2f} % of the transitions")
    print("\nco-occurrence, P(both | at least one)")
    cells = np.char.mod("%.3f", found.cooccurrence)
    _print_table([["", *names], *([name, *row] for name, row in zip(names, cells, strict=True))])
    states = ["00", "10", "01", "11"]
    for first, second in pairs:
        print(f"\n{names[first]} and {names[second]}, from state (row) to state (column): % of all transitions")
        joint = np.char.mod("%.3f", 100 * found.transitions[first, second].reshape(4, 4).T)
        _print_table([["", *states], *([state, *row] for state, row in zip(states, joint, strict=True))])


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _draw(found: "FoldStatistics", pairs: Sequence[tuple[int, int]], folder: Path) -> list[Path]:
    from ...plotting.knowledge import plot_cooccurrence, plot_occurrence, plot_state_machine
    from ...plotting.style import save_figure

    names = found.au_names
    rates = {"before augmentation": found.occurrence_rates}
    if found.rare_aus:
        rates["with rare-AU clips"] = found.occurrence_rates_added
    title = f"{found.source['dataset']}, fold {found.source['fold']}, {found.source['split']}"
    return [
        save_figure(plot_occurrence(rates, names), folder / "occurrence.png"),
        save_figure(plot_cooccurrence({title: found.cooccurrence}, names), folder / "cooccurrence.png"),
        *(
            save_figure(
                plot_state_machine(found.transitions[first, second], (names[first], names[second])),
                folder / f"transitions_{names[first]}_{names[second]}.png",
            )
            for first, second in pairs
        ),
    ]

r"""Present held-out animated portraits as own coded recordings.

Fine-tuning on them measures what own recordings bring.

    python benchmarks/portraits_as_recordings.py data/portraits recordings [--fold 1 --num_folds 10]
    python run_finetune.py recipes/own_recordings.yaml --data_dir recordings --dataset_options '{"num_folds": 2}' \
        --fold all

The folder has the test portraits of the fold, which the packaged model has not seen, in the layout of
docs/own_recordings.md: a table of labels, and links to the videos. Half of the people are trained on, and the other
half are tested, twice.
"""

import argparse
import csv
from pathlib import Path

from held_out import held_out_labels

from auvmae.data.portraits.action_units import NUMBERS
from auvmae.data.portraits.dataset import PortraitsConfig, read_sides
from auvmae.system.files import replacing


def main() -> None:
    """Parse the arguments, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="folder that write_portraits rendered")
    parser.add_argument("output", type=Path, help="folder to create")
    parser.add_argument("--fold", type=int, default=1, help="fold of the packaged model (default: 1)")
    parser.add_argument("--num_folds", type=int, default=10, help="folds of the packaged model (default: 10)")
    options = parser.parse_args()
    tree = options.tree.resolve()
    paths = held_out_labels(tree, options.num_folds, options.fold)
    chosen = sorted({path.parent.name for path in paths})
    options.output.mkdir(parents=True)
    with replacing(options.output / "labels.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["video", "frame", "subject", *(f"AU{number}" for number in NUMBERS)])
        for subject in chosen:
            (options.output / subject).symlink_to(tree / "videos" / subject, target_is_directory=True)
        for path in paths:
            subject = path.parent.name
            active = read_sides(path).max(axis=2) >= PortraitsConfig.intensity_threshold
            for frame, row in enumerate(active.astype(int).tolist()):
                table.writerow([f"{subject}/{path.stem}.mp4", frame, subject, *row])
    print(f"{len(chosen)} people in {options.output}: {', '.join(chosen)}")


if __name__ == "__main__":
    main()

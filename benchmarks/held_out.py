"""List the videos of rendered portraits that a model was not trained on."""

from pathlib import Path

from auvmae.data.folds import k_fold_subjects


def held_out_labels(tree: Path, num_folds: int, fold: int) -> list[Path]:
    """List the label files of the test portraits of a fold, sorted.

    Their folders are named after the portraits.
    """
    subjects = [folder.name for folder in tree.glob("labels/*")]
    chosen = sorted(k_fold_subjects(subjects, fold, "test", num_folds))
    return [path for subject in chosen for path in sorted((tree / "labels" / subject).glob("*.csv"))]

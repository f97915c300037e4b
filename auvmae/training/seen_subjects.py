"""Record the subjects that a checkpoint was trained on, to flag scores on them.

The record includes the subjects of all earlier checkpoints that training started from. It is stored in the processor's
file, which is saved with the weights. Subject names may be private, so only their hashes are stored.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import datasets
from transformers import TrainingArguments

from ..processors import AUVMAEImageProcessor
from .trainer import checkpoint_to_resume

TrainedOn = dict[str, list[str]]
"""Sorted hashes of subjects, by dataset name."""


def trained_on(
    start: str | None, args: TrainingArguments, names: Sequence[str], rows: datasets.DatasetDict
) -> TrainedOn:
    """Collect the subjects that the weights of a run were trained on.

    These are the subjects of its starting checkpoint and, if the run trains, its own training subjects.

    Args:
        start: Folder or Hub name of the starting checkpoint, if any.
        args: Training arguments of the run.
        names: Names of the datasets that the run trains on. With several, each subject is recorded for all of them.
        rows: Rows of the run, by split. Subjects held out for model selection ("inner_val") are recorded, too.
    """
    starts = [start, checkpoint_to_resume(args)] if args.do_train else [start]
    found: dict[str, set[str]] = {}
    for path in filter(None, starts):
        for name, hashes in _read(path).items():
            found.setdefault(name, set()).update(hashes)
    if args.do_train:
        subjects = {subject for side in rows if side != "test" for subject in rows[side]["subject"]}
        for name in names:
            found.setdefault(name, set()).update(_hashes(name, subjects))
    return {name: sorted(hashes) for name, hashes in found.items()}


def has_seen(seen: TrainedOn, name: str, subjects: Iterable[str]) -> bool:
    """Check whether the weights were trained on any of these subjects of a dataset."""
    return not _hashes(name, subjects).isdisjoint(seen.get(name, []))


def _hashes(name: str, subjects: Iterable[str]) -> set[str]:
    return {hashlib.sha256(f"{name} {subject}".encode()).hexdigest()[:16] for subject in subjects}


def _read(path: str) -> TrainedOn:
    try:
        fields: dict[str, Any] = AUVMAEImageProcessor.get_image_processor_dict(path)[0]
    except OSError:  # no processor file, so the weights are not from our runs
        return {}
    return fields.get("trained_on") or {}

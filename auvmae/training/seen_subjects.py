"""Whom weights were trained on, kept beside them in every checkpoint: what a score on these very people gives away.

It stands in the processor's file, which goes wherever weights go, and says of whatever weights a run started from, too.
Names of subjects may be private: of each there is a hash.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import datasets
from transformers import TrainingArguments

from ..processors import AUVMAEImageProcessor
from .trainer import checkpoint_to_resume

TrainedOn = dict[str, list[str]]
"""Hashes of subjects, sorted, by the name of their data set."""


def trained_on(
    start: str | None, args: TrainingArguments, names: Sequence[str], rows: datasets.DatasetDict
) -> TrainedOn:
    """Whom the weights of a run have seen: those of its start and, if it trains, of its own training side.

    Args:
        start: Folder or Hub name of what it starts from, if anything.
        args: Those of the run.
        names: Of the data sets that it trains on; subjects of several count as seen of each of them.
        rows: Of the run. Who is held out to choose by ("inner_val") counts, too.
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
    """Whether any of these subjects of a data set is among those."""
    return not _hashes(name, subjects).isdisjoint(seen.get(name, []))


def _hashes(name: str, subjects: Iterable[str]) -> set[str]:
    return {hashlib.sha256(f"{name} {subject}".encode()).hexdigest()[:16] for subject in subjects}


def _read(path: str) -> TrainedOn:
    try:
        fields: dict[str, Any] = AUVMAEImageProcessor.get_image_processor_dict(path)[0]
    except OSError:  # bare weights, not of a run of ours
        return {}
    return fields.get("trained_on") or {}

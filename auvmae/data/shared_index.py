"""The index of a data set, made by one process of a machine and mapped from the disk by the others."""

from collections.abc import Callable

import datasets
import torch.distributed as dist
from transformers import TrainingArguments

Files = dict[str, list[str]]


def index_once(load: Callable[[], datasets.DatasetDict], args: TrainingArguments) -> datasets.DatasetDict:
    """Call `load` in the first process of each machine; the others open the Arrow files that it made or found.

    To list half a million videos takes time and memory in every process that does it; the files are mapped, and shared
    by all processes and workers of the machine.

    Args:
        load: opens the data set, e.g. by `load_au_dataset`.
        args: say whether this process is its machine's first.

    Returns:
        The same rows in every process.
    """
    if args.world_size == 1:
        return load()
    rows = load() if args.local_process_index == 0 else None
    mine: Files | None = None
    if rows is not None:
        mine = {split: [file["filename"] for file in part.cache_files] for split, part in rows.items()}
    found: list[Files | None] = [None] * args.world_size
    dist.all_gather_object(found, mine)
    if rows is not None:
        return rows
    files = found[args.process_index - args.local_process_index] or {}
    parts = {split: [*map(datasets.Dataset.from_file, names)] for split, names in files.items()}
    return datasets.DatasetDict({split: datasets.concatenate_datasets(part) for split, part in parts.items()})

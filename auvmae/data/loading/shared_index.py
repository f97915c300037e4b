"""Index a dataset once per machine, in a separate process."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import datasets
import torch.distributed as dist
from transformers import TrainingArguments

from ...system.workers import end_with_parent

Files = dict[str, list[str]]


def index_once(load: Callable[[], datasets.DatasetDict], args: TrainingArguments) -> datasets.DatasetDict:
    """Index a dataset in one process per machine, and map its Arrow files.

    The process calls `load` and then ends. Listing half a million videos takes time in every process that does it. It
    also takes about 2 kB of memory per video, which the process never releases and its loader workers inherit. The
    mapped files are shared by all processes and workers of the machine.

    Args:
        load: Function that opens the dataset, e.g. a `functools.partial` of `load_au_dataset`. It must be picklable.
        args: Training arguments; they tell which process is the first of its machine.

    Returns:
        The same rows in every process.

    Raises:
        Exception: Whatever `load` raises.
    """
    mine: Files = {}
    if args.local_process_index == 0:
        with ProcessPoolExecutor(max_workers=1, initializer=end_with_parent) as process:
            mine = process.submit(_files_of, load).result()
    found = [mine] * args.world_size
    if args.world_size > 1:
        dist.all_gather_object(found, mine)
    files = found[args.process_index - args.local_process_index]
    parts = {split: [*map(datasets.Dataset.from_file, names)] for split, names in files.items()}
    return datasets.DatasetDict({split: datasets.concatenate_datasets(part) for split, part in parts.items()})


def _files_of(load: Callable[[], datasets.DatasetDict]) -> Files:
    return {split: [file["filename"] for file in part.cache_files] for split, part in load().items()}

"""The index of a data set, made in a process of its own and mapped from the disk by all others of the machine."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import datasets
import torch.distributed as dist
from transformers import TrainingArguments

Files = dict[str, list[str]]


def index_once(load: Callable[[], datasets.DatasetDict], args: TrainingArguments) -> datasets.DatasetDict:
    """Call `load` in a process that ends with it, one on each machine, and open the Arrow files that it made or found.

    To list half a million videos takes time in every process that does it, and memory that the process never gives
    back and that the loader's workers start with: about 2 kB a video. The files are mapped, and shared by all processes
    and workers of the machine.

    Args:
        load: opens the data set, e.g. a `functools.partial` of `load_au_dataset`; must pickle.
        args: say whether this process is its machine's first.

    Returns:
        The same rows in every process.

    Raises:
        Exception: what `load` raises.
    """
    mine: Files = {}
    if args.local_process_index == 0:
        with ProcessPoolExecutor(max_workers=1) as process:
            mine = process.submit(_files_of, load).result()
    found = [mine] * args.world_size
    if args.world_size > 1:
        dist.all_gather_object(found, mine)
    files = found[args.process_index - args.local_process_index]
    parts = {split: [*map(datasets.Dataset.from_file, names)] for split, names in files.items()}
    return datasets.DatasetDict({split: datasets.concatenate_datasets(part) for split, part in parts.items()})


def _files_of(load: Callable[[], datasets.DatasetDict]) -> Files:
    return {split: [file["filename"] for file in part.cache_files] for split, part in load().items()}

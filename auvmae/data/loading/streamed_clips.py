"""Load clips from a stream of videos, in an order that a resumed run repeats."""

import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import datasets
import numpy as np
import torch
from fsspec.asyn import reset_lock
from torch.utils.data import IterableDataset, get_worker_info
from transformers.utils import logging

from ...video.container import VideoDecodeError
from ...video.random_access import read_frames
from ...video.reading import num_frames
from .loader import MAX_TRIES, clip_item
from .streams import BROKEN, VIDEO, damaged, name_of, video_file

logger = logging.get_logger(__name__)


class StreamedClips(IterableDataset):
    """Load one clip per video and pass, at a random place, without end.

    All loader workers of all processes are numbered. Each has its own shards, which it shuffles before each pass; the
    videos are shuffled in a buffer. If there are fewer shards than workers, some share a shard, and each takes its
    share of the videos. The order depends on the seed, and on the number of processes and workers. A clip depends on
    the seed, the pass and its video only. Workers take turns, so videos in smaller shares come more often.

    Args:
        rows: Rows of `open_stream`.
        resize: See `ClipDataset`.
        clip_length: Frames of a clip before sampling. A shorter video is padded with its last frame.
        sampling_rate, augment, seed: See `ClipDataset`.
        buffer: Videos in the buffer of each worker.
        batch_size: Clips per batch of a process; the trainer sets it.
        process, processes: Number of this process, and of all.

    Attributes:
        seen_batches: Batches that a resumed run has seen. Their videos are passed over without being decoded.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        resize: Callable[[np.ndarray], torch.Tensor],
        clip_length: int,
        sampling_rate: int = 1,
        augment: bool = False,
        seed: int = 0,
        buffer: int = 256,
        batch_size: int = 1,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.rows = rows
        self.resize = resize
        self.clip_length, self.sampling_rate = clip_length, sampling_rate
        self.augment = augment
        self.seed = seed
        self.buffer = buffer
        self.batch_size = batch_size
        self.process, self.processes = process, processes
        self.seen_batches = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield items as those of `ClipDataset`, without labels.

        The place of a video that cannot be decoded is taken by another clip of the next video, whose "skipped" names
        it.

        Raises:
            OSError: A shard was cut short.
            VideoDecodeError: `MAX_TRIES` videos in a row cannot be decoded.
            ValueError: There are fewer videos than readers.
        """
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        reset_lock()  # the locks of fsspec do not survive a fork
        # batches come from the workers in turn, so this worker takes the place of the one that is due now
        number = (worker + self.seen_batches) % workers
        seen = (self.seen_batches - number + workers - 1) // workers * self.batch_size
        failed: list[tuple[np.random.Generator, str]] = []
        for epoch, row in self._read(self.process * workers + number, self.processes * workers, seen):
            data = (row[VIDEO] or {}).get("bytes") or b""  # of videos that have the same name, or none
            identity = zlib.crc32(name_of(row).encode()), zlib.crc32(data)
            generator = np.random.default_rng((self.seed, epoch, *identity))
            try:
                clip, first = self._decode(row, generator)
            except VideoDecodeError as error:
                failed.append((generator, str(error)))
                if len(failed) == MAX_TRIES:
                    raise
                continue
            name = f"{name_of(row)} from frame {first}"
            for draws, reason in failed:
                yield clip_item(clip, name, draws, self.resize, self.augment) | {"skipped": [reason]}
            yield clip_item(clip, name, generator, self.resize, self.augment)
            failed = []

    def _read(self, reader: int, readers: int, seen: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield pass and row of each video of one reader, after those that were `seen`."""
        shards = self.rows.num_shards
        if shards % readers and not reader:
            logger.warning(
                f"{shards} shards cannot be shared equally by {readers} loader workers, so some videos come more "
                "often. Let the number of shards be a multiple of processes times --dataloader_num_workers."
            )
        own = self.rows.shard(min(readers, shards), reader % shards, contiguous=False)
        turn, sharers = reader // shards, len(range(reader % shards, readers, shards))
        own = own.shuffle(seed=self.seed, buffer_size=self.buffer)
        epoch = 0
        while True:
            own.set_epoch(epoch)
            found = 0
            # `iter` instead of a loop over the rows, which would split the shards among the workers once more
            batches = islice(own.iter(batch_size=1), turn, None, sharers)
            try:
                for found, batch in enumerate(batches, 1):
                    if found > seen:
                        yield epoch, {name: values[0] for name, values in batch.items()}
            except BROKEN as error:
                raise damaged("a shard", error) from error
            if not found:
                raise ValueError(
                    f"reader {reader + 1} of {readers} found no video in its shards. Use fewer processes or a lower "
                    "--dataloader_num_workers, or pack the videos into more shards."
                )
            passes, seen = divmod(seen, found) if seen >= found else (1, 0)
            epoch += passes

    def _decode(self, row: dict[str, Any], generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """Decode a clip, and return it with its first frame."""
        with video_file(row) as path:
            frames = num_frames(path)
            if frames < 2:
                raise VideoDecodeError.of(path, "it has no two consecutive frames")
            first = int(generator.integers(max(0, frames - self.clip_length) + 1))
            numbers = np.minimum(first + np.arange(0, self.clip_length, self.sampling_rate), frames - 1)
            return read_frames(path, numbers), first

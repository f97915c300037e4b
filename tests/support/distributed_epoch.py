"""Train one epoch on many small videos and record the clips per process; run by `test_scale.py`.

python -m tests.support.distributed_epoch VIDEOS OUTPUT [--max_steps N] [--kill_at STEP] [--unprobed] [--hoard]
"""

import argparse
import json
import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import torch

from auvmae.data import face_videos, load_au_dataset
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.data.loading.shared_index import index_once
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.processors import AUVMAEImageProcessor
from auvmae.training.pretraining import PretrainTrainer
from auvmae.training.trainer import train

from .tiny import randomise, tiny_config
from .tiny_training import arguments


class Hoard(ClipDataset):
    """Hold the rows as Python objects in each worker, as `ClipDataset` must not do."""

    held: list[dict[str, Any]] | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.held = self.held or self.rows.with_format(None).remove_columns("labels").to_list()
        return super().__getitem__(index)


class Watched(PretrainTrainer):
    """Record the clips of every step, and the private memory of the loader's worker."""

    kill_at: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clips: dict[int, list[str]] = {}
        self.worker_memory: list[int] = []  # by step, in kilobytes

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.clips.setdefault(self.state.global_step, []).extend(inputs["clips"])
        (worker,) = multiprocessing.active_children()
        lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        self.worker_memory += [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]
        if self.state.global_step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().compute_loss(model, inputs, *args, **kwargs)


def main(flags: argparse.Namespace) -> None:
    """Train or resume one epoch, and write the clips that this process saw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if flags.unprobed:
        face_videos.FaceVideos._pieces = lambda self, video: [(0, 8)]
    config = tiny_config(mask_ratio=0.5)
    args = arguments(
        flags.output,
        num_train_epochs=1,
        max_steps=flags.max_steps,
        per_device_train_batch_size=10,
        dataloader_num_workers=1,
        dataloader_persistent_workers=True,
        save_strategy="steps",
        save_steps=10,
        resume_from_checkpoint="true",
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
    )
    options = {"clip_length": 8, "cache_dir": Path(flags.output).with_name("cache"), "num_proc": 2}
    rows = index_once(partial(load_au_dataset, "face_videos", flags.videos, **options), args)["train"]
    kind = Hoard if flags.hoard else ClipDataset
    trainer = Watched(
        model=randomise(AUVMAEForVideoPretraining(config)),
        args=args,
        train_dataset=kind(rows, AUVMAEImageProcessor(20).resize_frames, augment=True, skip_broken=True),
        data_collator=ClipCollator.from_config(config),
        processing_class=AUVMAEImageProcessor(20),
    )
    trainer.kill_at = flags.kill_at
    train(trainer)
    seen = {
        "world_size": args.world_size,
        "clips": trainer.clips,
        "worker_memory": trainer.worker_memory,
        "losses": {line["step"]: line["loss"] for line in trainer.state.log_history if "loss" in line},
    }
    Path(f"{flags.output}-{args.process_index}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("videos")
    parser.add_argument("output")
    parser.add_argument("--max_steps", type=int, default=-1)
    parser.add_argument("--kill_at", type=int)
    parser.add_argument("--unprobed", action="store_true")  # index tens of thousands of videos without opening them
    parser.add_argument("--hoard", action="store_true")
    main(parser.parse_args())
    if torch.distributed.is_initialized():  # this once hung while the trainer was alive
        torch.distributed.destroy_process_group()

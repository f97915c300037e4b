"""Run by `test_scale.py` in two processes: an epoch over many small videos, and who saw what.

python tests/distributed_epoch.py VIDEOS OUTPUT [KILL_AT]
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from auvmae.data import load_au_dataset
from auvmae.data.loader import ClipCollator, ClipDataset
from auvmae.data.shared_index import index_once
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.pretraining import PretrainTrainer
from auvmae.processors import AUVMAEImageProcessor
from auvmae.trainer import train

from .test_trainer import arguments
from .tiny import randomise, tiny_config


class Watched(PretrainTrainer):
    """Notes the clips of every step, and the private memory of the loader's workers."""

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


def main(videos: str, output: str, kill_at: int | None = None) -> None:
    """Train one epoch (on, if there is a checkpoint) and write what this process saw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = tiny_config(mask_ratio=0.5)
    args = arguments(
        output,
        num_train_epochs=1,
        per_device_train_batch_size=10,
        dataloader_num_workers=1,
        dataloader_persistent_workers=True,
        save_strategy="steps",
        save_steps=10,
        resume_from_checkpoint="true",
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
    )
    cache = Path(output).with_name("cache")
    rows = index_once(lambda: load_au_dataset("face_videos", videos, clip_length=8, cache_dir=cache, num_proc=2), args)[
        "train"
    ]
    trainer = Watched(
        model=randomise(AUVMAEForVideoPretraining(config)),
        args=args,
        train_dataset=ClipDataset(rows, AUVMAEImageProcessor(20).resize_frames, augment=True, skip_broken=True),
        data_collator=ClipCollator.from_config(config),
        processing_class=AUVMAEImageProcessor(20),
    )
    trainer.kill_at = kill_at
    train(trainer)
    seen = {
        "world_size": args.world_size,
        "clips": trainer.clips,
        "worker_memory": trainer.worker_memory,
        "losses": {line["step"]: line["loss"] for line in trainer.state.log_history if "loss" in line},
    }
    Path(f"{output}-{args.process_index}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
    if torch.distributed.is_initialized():  # with the trainer alive this hung once
        torch.distributed.destroy_process_group()

"""Take five SGD steps on global batches of four clips; run by `test_distributed.py`.

python -m tests.support.distributed_step WORLD_SIZE OUTPUT.pt [finetune|pretrain]
"""

import os
import sys
import tempfile

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import SequentialSampler
from transformers import Trainer

from auvmae.evaluation.metrics import au_counts, frame_probs
from auvmae.training.finetuning import AUVMAETrainer

from .tiny_training import TinyClips, finetuner, losses_of, pretrainer


def shard_on_cpu(trainer: Trainer) -> None:
    """Shard the weights as the launcher requests; without a GPU, accelerate silently does not."""
    state = trainer.accelerator.state
    state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin()
    trainer.is_fsdp_enabled = True


def main(world_size: int, output: str, job: str = "finetune") -> None:
    """Train, evaluate, and save the results to compare between numbers of processes."""
    pretrain = job == "pretrain"
    torch.set_num_threads(1)
    # the same clips in the same order for any number of processes
    AUVMAETrainer._get_train_sampler = lambda self, dataset=None: SequentialSampler(self.train_dataset)

    with tempfile.TemporaryDirectory() as folder:
        trainer = (pretrainer if pretrain else finetuner)(
            folder,
            TinyClips(length=8),
            **({"masks_per_clip": 2} if pretrain else {"pool": 1}),
            max_steps=5,
            per_device_train_batch_size=4 // world_size,
            per_device_eval_batch_size=3,
            optim="sgd",
            learning_rate=0.5,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            ddp_backend="gloo" if world_size > 1 else None,
        )
        assert trainer.args.world_size == world_size, f"{trainer.args.world_size} processes"
        if os.environ.get("ACCELERATE_USE_FSDP"):
            shard_on_cpu(trainer)
        trainer.train()
        metrics, counts = {}, None
        if not pretrain:
            # neither two processes nor batches of three divide seven, and padding must not be counted
            metrics, prediction = trainer.evaluate(TinyClips(length=7)), trainer.predict(TinyClips(length=7))
            probs, labels = frame_probs(prediction.predictions).reshape(-1, 3), prediction.label_ids.reshape(-1, 3)
            counts = torch.from_numpy(au_counts(probs, labels))
    weights = trainer.accelerator.get_state_dict(trainer.model)  # gathers sharded weights
    if trainer.is_world_process_zero():
        terms = [
            torch.tensor([entry[name] for name in ("loss_cls", "loss_intra", "loss_inter") if name in entry])
            for entry in trainer.state.log_history
            if "loss" in entry
        ]
        scores = {name: value for name, value in metrics.items() if "f1" in name or "accuracy" in name}
        torch.save(
            {
                "world_size": int(os.environ.get("WORLD_SIZE", "1")),
                "losses": list(losses_of(trainer).values()),
                "terms": terms,
                "weights": weights,
                "scores": scores,
                "evaluated": {name: value for name, value in metrics.items() if "loss" in name},
                "counts": counts,
                "sharded": [name for name, one in trainer.model.named_modules() if isinstance(one, FSDPModule)],
            },
            output,
        )
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # otherwise the other process, still writing, loses its peer
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

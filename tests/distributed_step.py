"""Run by `test_distributed.py` in one and in two processes: two SGD steps on global batches of four clips.

python tests/distributed_step.py WORLD_SIZE OUTPUT.pt [pretrain]
"""

import os
import sys
import tempfile

import torch
from torch.utils.data import SequentialSampler

from auvmae.trainer import AUVMAETrainer

from .test_pretraining import pretrainer
from .test_trainer import TinyClips, finetuner, losses_of


def main(world_size: int, output: str, job: str = "finetune") -> None:
    """Train, evaluate, and save what the other number of processes must equal."""
    pretrain = job == "pretrain"
    torch.set_num_threads(1)
    # the same clips in the same order for any number of processes
    AUVMAETrainer._get_train_sampler = lambda self, dataset=None: SequentialSampler(self.train_dataset)

    with tempfile.TemporaryDirectory() as folder:
        trainer = (pretrainer if pretrain else finetuner)(
            folder,
            TinyClips(length=8),
            **({"masks_per_clip": 2} if pretrain else {"pool": 1}),
            max_steps=2,
            per_device_train_batch_size=4 // world_size,
            per_device_eval_batch_size=3,
            optim="sgd",
            learning_rate=0.5,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            ddp_backend="gloo" if world_size > 1 else None,
        )
        assert trainer.args.world_size == world_size, f"{trainer.args.world_size} processes"
        trainer.train()
        metrics = {} if pretrain else trainer.evaluate(TinyClips(length=7))
    if trainer.is_world_process_zero():
        weights = {name: tensor.detach() for name, tensor in trainer.model.named_parameters()}
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
            },
            output,
        )
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

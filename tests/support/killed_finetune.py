"""Train for four steps and kill this process at a given stage; run by `test_kill_finetune.py`.

python -m tests.support.killed_finetune OUTPUT training|saving|weights|moving
"""

import os
import signal
import sys
from typing import Any

from safetensors.torch import save_file

from auvmae.training import finetuning
from auvmae.training.finetuning import AUVMAETrainer
from auvmae.training.trainer import train

from .tiny_training import finetuner


def die(*args: Any, **kwargs: Any) -> None:
    """Kill this process, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(output: str, stage: str) -> None:
    """Train until `stage`, in step 3, in the last checkpoint, or in the final save."""
    trainer = finetuner(output, max_steps=4, save_strategy="steps", save_steps=2)
    step, save = AUVMAETrainer.training_step, AUVMAETrainer._save_optimizer_and_scheduler

    def in_training(self: AUVMAETrainer, *args: Any, **kwargs: Any) -> Any:
        return die() if self.state.global_step == 3 else step(self, *args, **kwargs)

    def in_saving(self: AUVMAETrainer, output_dir: str) -> None:
        return die() if self.state.global_step == 4 else save(self, output_dir)

    def in_the_weights(tensors: Any, path: str) -> None:
        save_file(tensors, path)
        if "checkpoint" not in path:
            with open(path.replace("criterion", "model"), "r+b") as file:
                file.truncate(100)
            die()

    if stage == "training":
        AUVMAETrainer.training_step = in_training  # type: ignore[method-assign]
    elif stage == "saving":
        AUVMAETrainer._save_optimizer_and_scheduler = in_saving  # type: ignore[method-assign]
    elif stage == "weights":
        finetuning.save_file = in_the_weights  # type: ignore[attr-defined]
    else:
        AUVMAETrainer.save_state = die  # type: ignore[method-assign]
    train(trainer)


if __name__ == "__main__":
    main(*sys.argv[1:])

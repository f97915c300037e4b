"""Build tiny trainers on random clips."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from auvmae.data.loading.loader import ClipCollator
from auvmae.knowledge.losses import KnowledgeGuidedLoss
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.arguments import RunArguments
from auvmae.training.finetuning import AUVMAETrainer, FrameAUMetrics
from auvmae.training.pretraining import PretrainTrainer
from auvmae.training.trainer import ClipTrainer
from tests.support.tiny import randomise, tiny_config


class TinyClips(Dataset):
    """Provide random clips and labels with a fixed seed, and record the epochs passed to `set_epoch`."""

    def __init__(self, length: int = 8, same: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self.frames = torch.randint(0, 256, (length, 8, 20, 20, 3), generator=generator, dtype=torch.uint8)
        self.labels = torch.randint(0, 2, (length, 8, 3), generator=generator)
        self.labels[0, 6:] = -100
        if same:
            self.frames[:], self.labels[:] = self.frames[1], self.labels[1]
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "frames": self.frames[index],
            "labels": self.labels[index],
            "clip": f"clip{index}.avi",
            "seed": index,
        }


def arguments(folder, kind: type[RunArguments] = RunArguments, **fields: Any) -> RunArguments:
    defaults = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2,
        "logging_steps": 1,
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "learning_rate": 1e-2,
        "save_strategy": "no",
    }
    return kind(**(defaults | fields))


def finetuner(
    folder,
    dataset: TinyClips | None = None,
    pool: int = 0,
    ema_decay: float = 0.0,
    layer_decay: float = 1.0,
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
    **fields: Any,
) -> AUVMAETrainer:
    torch.manual_seed(0)
    dataset = dataset or TinyClips()
    return AUVMAETrainer(
        model=wrap(randomise(AUVMAEForFrameAUClassification(tiny_config()))),
        args=arguments(folder, **fields),
        train_dataset=dataset,
        eval_dataset=dataset,
        data_collator=ClipCollator(),
        processing_class=AUVMAEImageProcessor(20),
        compute_metrics=FrameAUMetrics(["AU1", "AU2", "AU12"]),
        criterion=KnowledgeGuidedLoss.from_labels(list(dataset.labels), statistics_pool=pool),
        ema_decay=ema_decay,
        layer_decay=layer_decay,
    )


def losses_of(trainer: ClipTrainer) -> dict[int, float]:
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def weighted(metrics: dict[str, float]) -> float:
    return metrics["eval_loss_cls"] + 0.01 * (metrics["eval_loss_intra"] + metrics["eval_loss_inter"])


def pretrainer(folder, dataset=None, masks_per_clip=1, max_skipped=0.0, config=None, **fields) -> PretrainTrainer:
    torch.manual_seed(0)
    config = config or tiny_config(mask_ratio=0.5)
    return PretrainTrainer(
        model=randomise(AUVMAEForVideoPretraining(config)),
        args=arguments(folder, **fields),
        train_dataset=dataset or TinyClips(),
        data_collator=ClipCollator.from_config(config, masks_per_clip),
        processing_class=AUVMAEImageProcessor(20),
        max_skipped=max_skipped,
    )

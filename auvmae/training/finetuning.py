"""Fine-tune with the knowledge-guided loss (Eq. 9)."""

import os
from collections.abc import Sized
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import EvalPrediction
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput

from ..evaluation.intensity_metrics import frame_intensities, intensity_scores
from ..evaluation.metrics import au_metrics, frame_probs
from ..knowledge.intensity_losses import INTENSITY_LOSSES, ranking_loss
from ..knowledge.losses import KnowledgeGuidedLoss
from .regularisation.ema import EMATrainer
from .regularisation.layer_decay import LayerDecayTrainer
from .regularisation.partial_training import keep_frozen
from .trainer import ClipTrainer

CRITERION_FILE = "criterion.safetensors"

TERMS = ("loss_cls", "loss_intra", "loss_inter", "loss_intensity", "loss_ranking")


class AUVMAETrainer(ClipTrainer, EMATrainer, LayerDecayTrainer):
    """Fine-tune with the loss of Eq. 9.

    The loss compares a batch with statistics of the training fold. These belong to a run, not to a model, so the
    trainer holds the criterion. A model's own `loss` stays the plain one of a Transformers classifier. The three terms
    are logged with `loss`, in training and in evaluation.

    Args:
        args: Positional arguments of `transformers.Trainer`.
        criterion: Criterion built by `KnowledgeGuidedLoss.from_labels` from the training fold, before augmentation.
        intensity_weight: Weight of the loss of intensities, which is added to the criterion's loss if model and data
            have intensities.
        intensity_loss: Name of that loss, one of `INTENSITY_LOSSES`.
        ranking_weight: Weight of `ranking_loss`, which is added under the same conditions.
        train_sampler: Sampler of the training clips. If None, the default of `transformers.Trainer` is used.
        kwargs: Keyword arguments of `transformers.Trainer`, and `ema_decay` and `layer_decay`.
    """

    def __init__(
        self,
        *args: Any,
        criterion: KnowledgeGuidedLoss,
        intensity_weight: float = 1.0,
        intensity_loss: str = "binomial",
        ranking_weight: float = 0.0,
        train_sampler: Sampler | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.intensity_weight, self.ranking_weight = intensity_weight, ranking_weight
        self.intensity_loss = INTENSITY_LOSSES[intensity_loss]
        self.train_sampler = train_sampler
        self.criterion = criterion.to(self.args.device)
        self._terms: dict[bool, list[torch.Tensor]] = {True: [], False: []}  # keyed by model.training

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        return self.train_sampler or super()._get_train_sampler(train_dataset)

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """Return the model's outputs with the loss of the criterion."""
        labels, intensities = (inputs.pop(name, None) for name in ("labels", "intensities"))
        if model.training:
            keep_frozen(cast(nn.Module, self.model))
        outputs = model(**inputs)
        self.criterion.train(model.training)
        losses = self.criterion(outputs.logits, labels)
        graded = outputs.get("intensity_logits")
        losses["loss_intensity"] = losses["loss_ranking"] = torch.zeros_like(losses.loss)
        if graded is not None and intensities is not None:
            losses["loss_intensity"] = self.intensity_loss(graded, intensities)
            if self.ranking_weight:  # every pair of frames takes memory
                losses["loss_ranking"] = ranking_loss(graded, intensities)
        self._terms[model.training].append(torch.stack([losses[term] for term in TERMS]).detach())
        graded_losses = self.intensity_weight * losses["loss_intensity"] + self.ranking_weight * losses["loss_ranking"]
        outputs["loss"] = losses.loss + graded_losses
        return outputs

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Predict like `Trainer.prediction_step`, with intensities if there are any.

        Predictions and labels are then pairs, of occurrence and intensity. Model and data must have intensities.
        """
        graded = cast(Any, self.model).config.grade_intensities and "intensities" in inputs
        self.label_names = ["labels", "intensities"] if graded else ["labels"]
        ignored = [] if graded and ignore_keys is None else ignore_keys
        return super().prediction_step(model, inputs, prediction_loss_only, ignored)

    def _pop_terms(self, training: bool, clips: list[int] | None = None) -> dict[str, float]:
        """Return the mean of each term since the last call, and reset the terms.

        Every process holds the terms of the global batch, so nothing is gathered.

        Args:
            training: Whether to return the terms of training or of evaluation.
            clips: Number of clips in each batch, to weight the batches as the loss does. By default all weigh the same.
        """
        terms, self._terms[training] = self._terms[training], []
        if not terms:
            return {}
        means = np.average(torch.stack(terms).cpu().numpy(), axis=0, weights=clips)
        return dict(zip(TERMS, means.tolist(), strict=True))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the terms of the training loss."""
        super().log(logs | self._pop_terms(training=True) if "loss" in logs else logs, *args, **kwargs)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Add the terms of the loss to the metrics of an evaluation."""
        self._terms[False] = []  # an interrupted evaluation may have left some
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        batches_are_global = cast(Any, self.args.accelerator_config).split_batches
        size = self.args.eval_batch_size * (1 if batches_are_global else self.args.world_size)
        clips = len(cast(Sized, dataloader.dataset))
        terms = self._pop_terms(training=False, clips=[min(size, clips - first) for first in range(0, clips, size)])
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in terms.items()}
        return output._replace(metrics=(output.metrics or {}) | metrics)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the criterion with the model.

        Its priors belong to the weights, its pool to the training state.
        """
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            path = os.path.join(output_dir or str(self.args.output_dir), CRITERION_FILE)
            save_file(self.criterion.state_dict(), path)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.criterion.load_state_dict(load_file(os.path.join(checkpoint, CRITERION_FILE)))


class ClipPrediction(NamedTuple):
    """Hold what `Trainer.predict` returns, per clip.

    Args:
        probs: Probabilities `(clips, T, N)`.
        labels: Labels `(clips, T, N)`: 0, 1, or -100 where not coded.
        intensities, coded_intensities: Predicted and coded intensities `(clips, T, N)` in 0..5, the latter NaN where
            not coded; None unless model and data have them.
    """

    probs: NDArray[np.float32]
    labels: NDArray[np.int64]
    intensities: NDArray[np.float32] | None = None
    coded_intensities: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, output: EvalPrediction | PredictionOutput) -> "ClipPrediction":
        """Convert the logits of an output of `AUVMAETrainer`."""
        predictions, labels = cast(Any, output.predictions), cast(Any, output.label_ids)
        if not isinstance(predictions, tuple):
            return cls(frame_probs(predictions), labels)
        return cls(frame_probs(predictions[0]), labels[0], frame_intensities(predictions[1]), labels[1])


class FrameAUMetrics:
    """Compute the metrics of a fold, for `compute_metrics` of a Trainer.

    Every coded frame of the evaluation set is scored once.

    Args:
        au_names: Names of the N action units, in the order of the logits.
        occurrences: Whether occurrences are scored. If not, only intensities are.
    """

    def __init__(self, au_names: list[str], occurrences: bool = True) -> None:
        self.au_names, self.occurrences = au_names, occurrences

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Compute the metrics from logits and labels.

        Args:
            prediction: Logits and labels, each `(clips, T, N)`; with intensities, a pair of each.

        Returns:
            Metrics of `au_metrics`, and of `intensity_scores` if there are intensities.
        """
        clips, shape = ClipPrediction.of(prediction), (-1, len(self.au_names))
        metrics: dict[str, float] = {}
        if self.occurrences:
            metrics |= au_metrics(clips.probs.reshape(shape), clips.labels.reshape(shape), self.au_names)
        if clips.intensities is not None and clips.coded_intensities is not None:
            graded, coded = clips.intensities.reshape(shape), clips.coded_intensities.reshape(shape)
            metrics |= intensity_scores(graded, coded, self.au_names)
        return metrics

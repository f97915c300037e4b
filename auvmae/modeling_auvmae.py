"""AU-vMAE: the backbone, the masked autoencoder of Sec. 3.2 and the multi-level AU detector of Sec. 3.3."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForPreTraining, AutoModelForVideoClassification
from transformers import initialization as init
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.videomae.modeling_videomae import (
    VideoMAEEncoder,
    VideoMAEModel,
    VideoMAEPreTrainedModel,
)
from transformers.utils.generic import can_return_tuple

from .configuration import AUVMAEConfig
from .decoder import AUVMAEDecoder
from .embeddings import AUVMAEEmbeddings, gather_patches, sinusoid_table, tube_token_indices
from .head import FrameAUHead, interpolate_frames, masked_binary_cross_entropy
from .masking import running_cells
from .outputs import AUVMAEForFrameAUClassificationOutput, AUVMAEForVideoPretrainingOutput

# On disk VideoMAE writes q_bias/v_bias, in memory query.bias/value.bias; transformers looks the renaming up by
# model_type and would drop the biases of every checkpoint of ours without a word.
register_checkpoint_conversion_mapping("auvmae", get_checkpoint_conversion_mapping("videomae"), overwrite=True)


class AUVMAEPreTrainedModel(VideoMAEPreTrainedModel):
    """What the three models share: loading that never loses encoder weights, and initialisation of the tables."""

    config: AUVMAEConfig
    config_class = AUVMAEConfig
    # the rest of a pre-training or Kinetics checkpoint, when only its encoder is wanted
    _keys_to_ignore_on_load_unexpected = ["^decoder", "^encoder_to_decoder", "^mask_token$", "^fc_norm", "^classifier"]
    _no_split_modules = ["AUVMAEEmbeddings", "VideoMAELayer"]
    # Our losses are means over the batch: without this, Trainer reads **kwargs as "normalises by num_items_in_batch",
    # skips the division by the accumulation steps and multiplies by the number of processes.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # from_pretrained builds on the meta device: what is not written here and not in the checkpoint is garbage.
        super()._init_weights(module)
        if isinstance(module, AUVMAEEmbeddings):
            init.copy_(module.position_embeddings, sinusoid_table(*module.position_embeddings.shape[1:]))
        elif isinstance(module, AUVMAEForVideoPretraining):
            init.zeros_(module.mask_token)
            init.copy_(module.position_embeddings, sinusoid_table(*module.position_embeddings.shape[1:]))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """`PreTrainedModel.from_pretrained`, but an encoder that did not arrive whole is an error.

        Heads may be new (a classifier on a pre-trained encoder); a silently re-initialised encoder weight is
        how published VideoMAE checkpoints lost their query and value biases in transformers 5.5 to 5.17.

        Raises:
            ValueError: The checkpoint lacks encoder weights, or has them in another shape. All are listed.
        """
        return_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
        model, info = loaded
        prefix = "" if isinstance(model, AUVMAEModel) else f"{cls.base_model_prefix}."
        missing = sorted(key for key in info["missing_keys"] if key.startswith(prefix))
        mismatched = sorted(key for key, *_ in info["mismatched_keys"] if key.startswith(prefix))
        if missing or mismatched:
            raise ValueError(
                f"The checkpoint {str(pretrained_model_name_or_path)!r} does not fill the encoder of {cls.__name__}. "
                f"Missing: {missing or 'none'}. Of another shape: {mismatched or 'none'}. Pass the configuration the "
                "checkpoint was trained with, or build the model from the configuration to train from scratch."
            )
        return (model, info) if return_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """`PreTrainedModel.save_pretrained`, with the names the weights have in memory.

        Trainer resumes by `load_state_dict(strict=False)`, which knows no renaming: it would keep the biases of the
        model it was given where the file says q_bias and v_bias. `from_pretrained` reads both.
        """
        kwargs.setdefault("save_original_format", False)
        super().save_pretrained(save_directory, *args, **kwargs)


class AUVMAEModel(AUVMAEPreTrainedModel, VideoMAEModel):
    """The backbone: VideoMAE's encoder over consecutive windows of `config.num_frames` frames.

        pixel_values (B, T, C, H, W)
          -> windows (B * T/16, 16, C, H, W) -> visible tubelets + positions -> ViT
          -> last_hidden_state (B, visible tokens of the clip in time order, D)

    With one window (T = `num_frames`) it equals `VideoMAEModel` on the same weights.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        config.validate_clip()  # from_pretrained sets the fields that override a checkpoint's without a check
        # VideoMAEModel.__init__ would build the slow position table only to have it replaced.
        super(VideoMAEModel, self).__init__(config)
        self.embeddings: AUVMAEEmbeddings = AUVMAEEmbeddings(config)  # type: ignore[assignment]
        self.encoder = VideoMAEEncoder(config)
        self.layernorm = None
        if not config.use_mean_pooling:
            self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def num_windows(self, pixel_values: torch.Tensor) -> int:
        """Encoder windows in a clip of shape `(B, T, C, H, W)`.

        Raises:
            ValueError: The shape does not fit the configuration.
        """
        config = self.config
        expected = (config.num_channels, config.image_size, config.image_size)
        if pixel_values.ndim != 5 or tuple(pixel_values.shape[2:]) != expected:
            raise ValueError(
                f"pixel_values must have the shape (batch, frames, {', '.join(map(str, expected))}), "
                f"found {tuple(pixel_values.shape)}."
            )
        windows, rest = divmod(pixel_values.shape[1], config.num_frames)
        if rest or not windows:
            raise ValueError(
                f"The number of frames must be a multiple of num_frames ({config.num_frames}), "
                f"found {pixel_values.shape[1]}."
            )
        return windows

    def split_tokens(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of the visible and hidden tokens of every *window*, `(B * windows, K)` each.

        Raises:
            ValueError: The mask has another dtype or shape, is no tube, or rows differ in count.
        """
        windows = self.num_windows(pixel_values)
        slots = self.config.num_frames // self.config.tubelet_size
        expected = (pixel_values.shape[0], windows * slots * self.config.patches_per_slot)
        if bool_masked_pos.dtype != torch.bool or tuple(bool_masked_pos.shape) != expected:
            raise ValueError(
                f"bool_masked_pos must be bool of shape {expected} (True = hidden), found {bool_masked_pos.dtype} of "
                f"shape {tuple(bool_masked_pos.shape)}."
            )
        # a tube repeats over time, so the first window's indices serve every window
        tube_token_indices(bool_masked_pos, windows * slots)
        first = bool_masked_pos[:, : slots * self.config.patches_per_slot]
        visible, hidden = tube_token_indices(first, slots)
        return visible.repeat_interleave(windows, dim=0), hidden.repeat_interleave(windows, dim=0)

    def forward(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutput | tuple:
        """Encode a clip.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Normalised frames; their number is a multiple of `config.num_frames`.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, sequence_length)`, *optional*):
                True = hidden, a tube with the same number of hidden patches in every clip. `sequence_length` is
                `(T // tubelet_size) * (image_size // patch_size) ** 2`.
            kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `BaseModelOutput`: `last_hidden_state` and `hidden_states` of shape `(batch_size, visible tokens,
            hidden_size)` in time order; `attentions` per window, `(batch_size * windows, heads, tokens, tokens)`.

        Raises:
            ValueError: Shapes, frame count or mask do not fit the configuration.
        """
        batch_size, windows = pixel_values.shape[0], self.num_windows(pixel_values)
        indices = None if bool_masked_pos is None else self.split_tokens(pixel_values, bool_masked_pos)[0]
        return_dict = kwargs.pop("return_dict", None)
        outputs = super().forward(
            pixel_values.reshape(batch_size * windows, -1, *pixel_values.shape[2:]), indices, **kwargs
        )
        outputs.last_hidden_state = self.unfold_windows(outputs.last_hidden_state, batch_size)
        if outputs.hidden_states is not None:
            outputs.hidden_states = tuple(self.unfold_windows(state, batch_size) for state in outputs.hidden_states)
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return outputs if return_dict else outputs.to_tuple()

    @staticmethod
    def unfold_windows(tokens: torch.Tensor, batch_size: int) -> torch.Tensor:
        """(B * windows, L, D) -> (B, windows * L, D)."""
        return tokens.reshape(batch_size, -1, tokens.shape[-1])


class AUVMAEForVideoPretraining(AUVMAEPreTrainedModel):
    """The masked video autoencoder of Sec. 3.2.

    Equals `VideoMAEForPreTraining` on the same weights, video and mask, loss included, but embeds only what is
    visible, builds targets only for what is hidden, and decodes to the end only what is compared with them.
    """

    position_embeddings: torch.Tensor
    _no_split_modules = [*AUVMAEPreTrainedModel._no_split_modules, "LastDecoderLayer"]

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__(config)
        self.videomae = AUVMAEModel(config)
        self.encoder_to_decoder = nn.Linear(config.hidden_size, config.decoder_hidden_size, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_hidden_size))
        table = sinusoid_table(self.videomae.embeddings.patch_embeddings.num_patches, config.decoder_hidden_size)
        self.register_buffer("position_embeddings", table, persistent=False)
        self.decoder = AUVMAEDecoder(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor,
        return_loss: bool = True,
        **kwargs: Any,
    ) -> AUVMAEForVideoPretrainingOutput:
        """Reconstruct the hidden patches.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`).
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): True = hidden, a tube.
            return_loss (`bool`, defaults to True): Also build the targets and the loss.
            kwargs: `output_hidden_states`, `output_attentions`.

        Raises:
            ValueError: Shapes, frame count or mask do not fit the configuration, or nothing is hidden.
        """
        config = self.config
        visible, hidden = self.videomae.split_tokens(pixel_values, bool_masked_pos)
        if not hidden.shape[1]:
            raise ValueError("bool_masked_pos hides no patch: there is nothing to reconstruct.")
        if self.training and config.decoder_mask_ratio:
            hidden = running_cells(hidden, config.num_frames // config.tubelet_size, config.decoder_mask_ratio)
        outputs = self.videomae(pixel_values, bool_masked_pos, **kwargs)
        logits = self.forward_decoder(outputs.last_hidden_state, visible, hidden)
        loss = F.mse_loss(logits, self.patch_targets(pixel_values, hidden)) if return_loss else None
        return AUVMAEForVideoPretrainingOutput(
            loss=loss,
            logits=self.videomae.unfold_windows(logits, pixel_values.shape[0]),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def forward_decoder(self, tokens: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, visible tokens of the clip, D) -> (B * windows, hidden tokens of a window, patch pixels)."""
        tokens = self.encoder_to_decoder(tokens).reshape(*visible.shape, -1)
        positions = self.position_embeddings[0].to(tokens.dtype)
        tokens = torch.cat(
            [
                tokens + F.embedding(visible, positions),
                self.mask_token.to(tokens.dtype) + F.embedding(hidden, positions),
            ],
            dim=1,
        )
        return self.decoder(tokens, hidden.shape[1]).logits

    @torch.no_grad()
    def patch_targets(self, pixel_values: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Pixels of the hidden patches in [0, 1], normalised per patch and channel where `norm_pix_loss` says so."""
        config = self.config
        windows = pixel_values.reshape(hidden.shape[0], -1, *pixel_values.shape[2:])
        patches = gather_patches(windows, hidden, config.tubelet_size, config.patch_size).flatten(3)
        mean, std = (patches.new_tensor(values).view(-1, 1) for values in (config.image_mean, config.image_std))
        if config.norm_pix_loss:
            # standardising undoes the processor's mean and std by itself, but for the epsilon
            patches = patches - patches.mean(dim=3, keepdim=True)
            # the unbiased deviation; torch.std takes several times as long on a CPU
            deviation = torch.linalg.vector_norm(patches, dim=3, keepdim=True) / (patches.shape[3] - 1) ** 0.5
            patches = patches.div_(deviation + 1e-6 / std)
        else:
            patches = patches * std + mean
        return patches.transpose(2, 3).flatten(2)  # (B * windows, K, tubelet * p * p * C)


class AUVMAEForFrameAUClassification(AUVMAEPreTrainedModel):
    """Action units of every frame of a clip, from all frames, from every k-th, or from masked ones (Sec. 3.3).

    The level is read off the input: T sampled frames stand for `config.clip_length` labelled ones, and hidden
    patches are whatever `bool_masked_pos` hides. One set of weights serves every level.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__(config)
        self.videomae = AUVMAEModel(config)
        self.head = FrameAUHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> AUVMAEForFrameAUClassificationOutput:
        """Detect the action units of every frame.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, T, num_channels, height, width)`):
                `T = clip_length / sampling_rate` frames, equally spaced from the clip's first.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, sequence_length)`, *optional*): True = hidden.
            labels (`torch.Tensor` of shape `(batch_size, clip_length, num_labels)`, *optional*): 0, 1, or -100 where
                not coded. The loss is the plain masked binary cross-entropy; the paper's (Eq. 9) needs the training
                fold's statistics and is held by `auvmae.training.finetuning.AUVMAETrainer`.
            kwargs: `output_hidden_states`, `output_attentions`.

        Raises:
            ValueError: Shapes, frame count, mask or labels do not fit the configuration.
        """
        config = self.config
        num_frames = pixel_values.shape[1]
        if config.clip_length % num_frames:
            raise ValueError(
                f"The number of frames must divide clip_length ({config.clip_length}): frame k stands for labelled "
                f"frame k * clip_length / T. Found T = {num_frames}."
            )
        outputs = self.videomae(pixel_values, bool_masked_pos, **kwargs)
        logits = self.head(outputs.last_hidden_state, num_frames // config.tubelet_size)
        logits = interpolate_frames(logits, config.clip_length)
        return AUVMAEForFrameAUClassificationOutput(
            loss=None if labels is None else masked_binary_cross_entropy(logits, labels),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


for auto_class, model_class in (
    (AutoModel, AUVMAEModel),
    (AutoModelForPreTraining, AUVMAEForVideoPretraining),
    (AutoModelForVideoClassification, AUVMAEForFrameAUClassification),
):
    auto_class.register(AUVMAEConfig, model_class, exist_ok=True)
    model_class.register_for_auto_class(auto_class.__name__)

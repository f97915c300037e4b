"""Implement the AU-vMAE models.

These are the backbone, the masked autoencoder (Sec. 3.2) and the multi-level AU detector (Sec. 3.3).
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForPreTraining, AutoModelForVideoClassification
from transformers import initialization as init
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.videomae.modeling_videomae import VideoMAEEncoder, VideoMAELayer, VideoMAEPreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration import AUVMAEConfig
from .decoder import AUVMAEDecoder
from .embeddings import AUVMAEEmbeddings, gather_patches, sinusoid_table, tube_token_indices
from .head import FrameAUHead, interpolate_frames, masked_binary_cross_entropy
from .masking import running_cells
from .outputs import AUVMAEForFrameAUClassificationOutput, AUVMAEForVideoPretrainingOutput
from .stem import ConvolutionalStem
from .weights import check_finite, check_folder, find_damaged_file

# VideoMAE's biases are q_bias and v_bias on disk, but query.bias and value.bias in memory. Transformers finds the
# renaming by model_type: without this line it would silently drop the biases of all our checkpoints.
register_checkpoint_conversion_mapping("auvmae", get_checkpoint_conversion_mapping("videomae"), overwrite=True)


class AUVMAEPreTrainedModel(VideoMAEPreTrainedModel):
    """Share weight initialisation, loading and saving among the three models.

    Loading never loses encoder weights silently.
    """

    config: AUVMAEConfig
    config_class = AUVMAEConfig
    # The weights of a pre-training or Kinetics checkpoint that are not part of its encoder.
    _keys_to_ignore_on_load_unexpected = ["^decoder", "^encoder_to_decoder", "^mask_token$", "^fc_norm", "^classifier"]
    _no_split_modules = ["AUVMAEEmbeddings", "VideoMAELayer"]
    # Our losses are means over the batch. Without this, Trainer takes **kwargs to mean that the model normalises by
    # num_items_in_batch. It would then not divide by the accumulation steps, and multiply by the number of processes.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # from_pretrained builds on the meta device. A tensor that is neither in the checkpoint nor set here is garbage.
        super()._init_weights(module)
        if isinstance(module, AUVMAEEmbeddings):
            init.copy_(module.position_embeddings, sinusoid_table(*module.position_embeddings.shape[1:]))
        elif isinstance(module, FrameAUHead) and module.position_weights is not None:
            patches = self.config.patches_per_slot
            init.normal_(module.position_weights, 1 / patches, 0.5 * patches**-0.5)
        elif isinstance(module, AUVMAEForVideoPretraining):
            init.zeros_(module.mask_token)
            init.copy_(module.position_embeddings, sinusoid_table(*module.position_embeddings.shape[1:]))

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Draw all weights that were not loaded."""
        super().initialize_weights()
        if not self.config.stem_channels:
            return
        # Transformers does not call _init_weights for modules of others' code that hold no parameter themselves.
        for module in self.modules():
            if isinstance(module, ConvolutionalStem):
                # Norms undo any scale, but small weights turn fast: VideoMAE's 0.02 is far below torch's scale here.
                for part in module.modules():
                    if isinstance(part, nn.Conv2d):
                        init.kaiming_uniform_(part.weight, a=5**0.5)
                # tokens as large as their positions, or the image would hardly be heard beside them
                init.normal_(module.projection.weight, std=module.projection.in_features**-0.5)
            elif isinstance(module, VideoMAELayer):
                # a layer begins as the identity, so that the stem learns first
                init.zeros_(module.attention.output.dense.weight)
                init.zeros_(module.output.dense.weight)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a model like `PreTrainedModel.from_pretrained`, and check its encoder.

        A head may be new, e.g. when a classifier starts from a pre-trained encoder. Encoder weights must not be new:
        transformers 5.5 to 5.17 silently re-initialised the query and value biases of published VideoMAE checkpoints.

        Raises:
            ValueError: Encoder weights are missing from the checkpoint, left over or of another shape, or weights are
                not finite. The error lists them. Or the configuration is wrong.
            OSError: A file is missing or damaged. The error names it.
        """
        return_info = kwargs.pop("output_loading_info", False)
        source = str(pretrained_model_name_or_path)
        if pretrained_model_name_or_path is not None:
            check_folder(source)
        strict = not kwargs.pop("ignore_mismatched_sizes", False)
        options = kwargs | {"output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        except Exception as error:  # safetensors, torch and pickle have no common base class
            only = bool(kwargs.get("use_safetensors"))
            if Path(source).is_dir() and (damage := find_damaged_file(Path(source), only)):
                raise OSError(damage) from error
            if isinstance(error, SafetensorError):
                raise OSError(f"{source}: the weights are damaged ({error}). Download them again.") from error
            if isinstance(error, OSError) and not Path(source).is_dir():
                raise OSError(f"{source} is no local folder, and the Hub: {' '.join(str(error).split())}") from error
            raise
        if Path(source).is_dir() and (damage := find_damaged_file(Path(source), safetensors_only=True)):
            raise OSError(damage)  # whole numbers, which would be converted without a word
        model, info = loaded
        prefix = "" if isinstance(model, AUVMAEModel) else f"{cls.base_model_prefix}."
        inside = prefix or ("embeddings.", "encoder.", "layernorm.")
        shapes = {
            name: f"{name} {tuple(found)} instead of {tuple(wanted)}" for name, found, wanted in info["mismatched_keys"]
        }
        faults = {
            "Missing weights": [name for name in info["missing_keys"] if name.startswith(prefix)],
            "Weights of another shape": [text for name, text in shapes.items() if strict or name.startswith(prefix)],
            "Weights left over": [name for name in info["unexpected_keys"] if name.startswith(inside)],
        }
        if any(faults.values()):
            texts = [f"{fault}: {_shorten(sorted(names))}." for fault, names in faults.items() if names]
            raise ValueError(
                f"The checkpoint {source!r} does not fill the {'model' if shapes else 'encoder of'} {cls.__name__}. "
                f"{' '.join(texts)} Pass the configuration that the checkpoint was trained with. To train from "
                "scratch, build the model from a configuration instead."
            )
        check_finite(model.state_dict(), source)
        return (model, info) if return_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Save like `PreTrainedModel.save_pretrained`, with the weights' names in memory.

        Trainer resumes by `load_state_dict(strict=False)`, which renames nothing. If the file said q_bias and v_bias,
        it would not load these biases. `from_pretrained` reads both names.
        """
        kwargs.setdefault("save_original_format", False)
        super().save_pretrained(save_directory, *args, **kwargs)


class AUVMAEModel(AUVMAEPreTrainedModel):
    """Encode a clip with VideoMAE's encoder, in consecutive windows.

    A window has `config.num_frames` frames, e.g. 16:

        pixel_values (B, T, C, H, W)
          -> windows (B * T/16, 16, C, H, W) -> visible tubelets + positions -> ViT
          -> last_hidden_state (B, visible tokens of the clip in time order, D)

    With one window (T = `num_frames`), the output equals that of `VideoMAEModel` with the same weights.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        config.validate_clip()  # from_pretrained does not validate fields that override those of the checkpoint
        super().__init__(config)
        self.embeddings = AUVMAEEmbeddings(config)
        self.encoder = VideoMAEEncoder(config)
        self.layernorm = None
        if not config.use_mean_pooling:
            self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the module that embeds the patches."""
        return self.embeddings.patch_embeddings

    def num_windows(self, pixel_values: torch.Tensor) -> int:
        """Count the encoder windows in a clip of shape `(B, T, C, H, W)`.

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
        windows, rest = divmod(int(pixel_values.shape[1]), config.num_frames)  # torch.jit.trace has tensors here
        if rest or not windows:
            raise ValueError(
                f"The number of frames must be a multiple of num_frames ({config.num_frames}), "
                f"found {pixel_values.shape[1]}."
            )
        return windows

    def split_tokens(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of the visible and the hidden tokens of every *window*.

        Returns:
            Two `torch.LongTensor` of shape `(B * windows, K)`.

        Raises:
            ValueError: The mask has the wrong dtype or shape, is not a tube mask, or its rows differ in count.
        """
        windows = self.num_windows(pixel_values)
        slots = self.config.num_frames // self.config.tubelet_size
        expected = (pixel_values.shape[0], windows * slots * self.config.patches_per_slot)
        if bool_masked_pos.dtype != torch.bool or tuple(bool_masked_pos.shape) != expected:
            raise ValueError(
                f"bool_masked_pos must be bool of shape {expected} (True = hidden), found {bool_masked_pos.dtype} of "
                f"shape {tuple(bool_masked_pos.shape)}."
            )
        # A tube mask repeats over time, so the first window's indices are those of every window.
        visible, hidden = (
            tokens.unflatten(1, (windows, -1))[:, 0].repeat_interleave(windows, dim=0)
            for tokens in tube_token_indices(bool_masked_pos, windows * slots)
        )
        return visible, hidden

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        visible_tokens: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutput:
        """Encode a clip.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Normalised frames. Their number is a multiple of `config.num_frames`.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, sequence_length)`, *optional*):
                Tube mask, True = hidden, with the same number of hidden patches in every clip. `sequence_length` is
                `(T // tubelet_size) * (image_size // patch_size) ** 2`.
            visible_tokens (`torch.LongTensor` of shape `(batch_size * windows, K)`, *optional*): Visible tokens of
                every window from `split_tokens`, in place of `bool_masked_pos`, so that a mask is read only once.
            kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `BaseModelOutput`: `last_hidden_state` and `hidden_states` of shape `(batch_size, visible tokens,
            hidden_size)`, in time order; `attentions` per window, `(batch_size * windows, heads, tokens, tokens)`.

        Raises:
            ValueError: The shapes, the number of frames or the mask do not fit the configuration.
        """
        batch_size, windows = pixel_values.shape[0], self.num_windows(pixel_values)
        if bool_masked_pos is not None:
            visible_tokens = self.split_tokens(pixel_values, bool_masked_pos)[0]
        frames = pixel_values.reshape(batch_size * windows, -1, *pixel_values.shape[2:])
        outputs = self._encode(frames, visible_tokens, return_dict=True, **kwargs)
        outputs.last_hidden_state = self.unfold_windows(outputs.last_hidden_state, batch_size)
        if outputs.hidden_states is not None:
            # layers that were not asked for are None
            outputs.hidden_states = tuple(
                None if state is None else self.unfold_windows(state, batch_size) for state in outputs.hidden_states
            )
        return outputs

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def _encode(self, frames: torch.Tensor, visible_tokens: torch.Tensor | None, **kwargs: Any) -> BaseModelOutput:
        """Encode windows (B * windows, num_frames, C, H, W) like `VideoMAEModel`."""
        tokens = self.encoder(self.embeddings(frames, visible_tokens)).last_hidden_state
        return BaseModelOutput(last_hidden_state=tokens if self.layernorm is None else self.layernorm(tokens))

    @staticmethod
    def unfold_windows(tokens: torch.Tensor, batch_size: int) -> torch.Tensor:
        """Reshape (B * windows, L, D) to (B, windows * L, D).

        Tokens of one window are returned themselves, so that gradients of hidden states can be retained.
        """
        return tokens if tokens.shape[0] == batch_size else tokens.reshape(batch_size, -1, tokens.shape[-1])


class AUVMAEForVideoPretraining(AUVMAEPreTrainedModel):
    """Reconstruct hidden patches with a masked video autoencoder (Sec. 3.2).

    Output and loss equal those of `VideoMAEForPreTraining` with the same weights, video and mask. The computation is
    smaller: only visible patches are embedded, only hidden patches have targets, and the last decoder layer computes
    only the hidden tokens.
    """

    position_embeddings: torch.Tensor
    _no_split_modules = [*AUVMAEPreTrainedModel._no_split_modules, "LastDecoderLayer"]

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__(config)
        self.videomae = AUVMAEModel(config)
        self.encoder_to_decoder = nn.Linear(config.hidden_size, config.decoder_hidden_size, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_hidden_size))
        table = sinusoid_table(config.tokens_per_window, config.decoder_hidden_size)
        self.register_buffer("position_embeddings", table, persistent=config.stored_positions)
        self.decoder = AUVMAEDecoder(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor,
        return_loss: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> AUVMAEForVideoPretrainingOutput:
        """Reconstruct the hidden patches.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Normalised frames.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): Tube mask, True = hidden.
            return_loss (`bool`, defaults to True): Also build the targets and the loss.
            kwargs: `output_hidden_states`, `output_attentions`.

        Raises:
            ValueError: The shapes, the number of frames or the mask do not fit the configuration, or the mask hides no
                patch.
        """
        config = self.config
        visible, hidden = self.videomae.split_tokens(pixel_values, bool_masked_pos)
        if not hidden.shape[1]:
            raise ValueError("bool_masked_pos hides no patch, so there is nothing to reconstruct.")
        if self.training and config.decoder_mask_ratio:
            hidden = running_cells(hidden, config.num_frames // config.tubelet_size, config.decoder_mask_ratio)
        outputs = self.videomae(pixel_values, visible_tokens=visible, return_dict=True, **kwargs)
        logits = self.forward_decoder(outputs.last_hidden_state, visible, hidden)
        loss = F.mse_loss(logits, self.patch_targets(pixel_values, hidden)) if return_loss else None
        return AUVMAEForVideoPretrainingOutput(
            loss=loss,
            logits=self.videomae.unfold_windows(logits, pixel_values.shape[0]),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def forward_decoder(self, tokens: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Decode the visible tokens into the pixels of the hidden patches.

        Args:
            tokens: Visible tokens of the clip `(B, K, D)`, in time order.
            visible: Indices of the visible tokens of each window `(B * windows, V)`.
            hidden: Indices of the hidden tokens of each window `(B * windows, H)`.

        Returns:
            Logits `(B * windows, H, patch pixels)`.
        """
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
        """Return the pixels of the hidden patches as targets of the loss.

        They are in [0, 1], or with `norm_pix_loss` normalised per patch and channel.
        """
        config = self.config
        windows = pixel_values.reshape(hidden.shape[0], -1, *pixel_values.shape[2:])
        patches = gather_patches(windows, hidden, config.tubelet_size, config.patch_size).flatten(3)
        mean, std = (patches.new_tensor(values).view(-1, 1) for values in (config.image_mean, config.image_std))
        if config.norm_pix_loss:
            # Standardising cancels the processor's mean and std; only the epsilon has to be rescaled.
            patches = patches - patches.mean(dim=3, keepdim=True)
            # This is the unbiased standard deviation. torch.std takes several times as long on a CPU.
            deviation = torch.linalg.vector_norm(patches, dim=3, keepdim=True) / (patches.shape[3] - 1) ** 0.5
            patches = patches.div_(deviation + 1e-6 / std)
        else:
            patches = patches * std + mean
        return patches.transpose(2, 3).flatten(2)  # (B * windows, K, tubelet * p * p * C)


class AUVMAEForFrameAUClassification(AUVMAEPreTrainedModel):
    """Detect the action units of every frame of a clip, at any input level (Sec. 3.3).

    The clip may enter with all frames (video level), every k-th frame (frame level), or hidden patches (patch level).
    The input alone sets the level: T sampled frames represent `config.clip_length` labelled frames, and
    `bool_masked_pos` hides the patches. All levels share one set of weights.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__(config)
        self.videomae = AUVMAEModel(config)
        self.head = FrameAUHead(config)
        self.intensity_head = FrameAUHead(config) if config.grade_intensities else None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> AUVMAEForFrameAUClassificationOutput:
        """Detect the action units of every frame.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, T, num_channels, height, width)`):
                `T = clip_length / sampling_rate` normalised frames, equally spaced from the clip's first frame on.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, sequence_length)`, *optional*): Tube mask,
                True = hidden.
            labels (`torch.Tensor` of shape `(batch_size, clip_length, num_labels)`, *optional*): 0, 1, or -100 where
                not coded. The loss is the binary cross-entropy over the coded cells. The paper's loss (Eq. 9) needs
                statistics of the training fold; `auvmae.training.finetuning.AUVMAETrainer` computes it.
            kwargs: `output_hidden_states`, `output_attentions`.

        Raises:
            ValueError: The shapes, the number of frames, the mask or the labels do not fit the configuration.
        """
        config = self.config
        num_frames = int(pixel_values.shape[1])
        if config.clip_length % num_frames:
            raise ValueError(
                f"The number of frames T must divide clip_length ({config.clip_length}), because input frame k is "
                f"labelled frame k * clip_length / T. Found T = {num_frames}."
            )
        num_slots = num_frames // config.tubelet_size
        visible = positions = None
        if bool_masked_pos is not None:
            visible = self.videomae.split_tokens(pixel_values, bool_masked_pos)[0]
            # the first slot of a clip has the smallest indices, which are its positions
            windows = num_frames // config.num_frames
            positions = visible.unflatten(1, (num_slots // windows, -1))[::windows, 0]
        outputs = self.videomae(pixel_values, visible_tokens=visible, return_dict=True, **kwargs)
        tokens = outputs.last_hidden_state
        logits = interpolate_frames(self.head(tokens, num_slots, positions), config.clip_length)
        intensity_logits = None
        if self.intensity_head is not None:
            intensity_logits = interpolate_frames(self.intensity_head(tokens, num_slots, positions), config.clip_length)
        return AUVMAEForFrameAUClassificationOutput(
            loss=None if labels is None else masked_binary_cross_entropy(logits, labels),
            logits=logits,
            intensity_logits=intensity_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def _shorten(names: list[str]) -> str:
    """Join the first names of a list, and count the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


for auto_class, model_class in (
    (AutoModel, AUVMAEModel),
    (AutoModelForPreTraining, AUVMAEForVideoPretraining),
    (AutoModelForVideoClassification, AUVMAEForFrameAUClassification),
):
    auto_class.register(AUVMAEConfig, model_class, exist_ok=True)
    model_class.register_for_auto_class(auto_class.__name__)

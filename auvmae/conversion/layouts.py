"""Define how VideoMAE (both versions) and MARLIN name their tensors.

Our models have the same architecture under a third set of names.
"""

from dataclasses import dataclass
from typing import Any

import torch

from ..modeling_auvmae import AUVMAEForVideoPretraining, AUVMAEModel, AUVMAEPreTrainedModel

Tensors = dict[str, torch.Tensor]

QKV = ("query", "key", "value")
"""Order of the three matrices in `attn.qkv.weight`."""

BLOCK_NAMES = {
    "encoder.layer.": "blocks.",
    "decoder.decoder_layers.": "decoder.blocks.",
    "attention.attention.query.bias": "attn.q_bias",
    "attention.attention.value.bias": "attn.v_bias",
    **{f"attention.attention.{part}.weight": "attn.qkv.weight" for part in QKV},
    "attention.output.dense": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "layernorm.": "norm.",
}


@dataclass(frozen=True)
class Layout:
    """Describe how a code base names its tensors.

    Args:
        name: Name of the format.
        patch_embedding: Name of the patch embedding, by which a file is recognised.
        names: Our names mapped to those of the code base, replaced in this order.
        tables: Names of the position tables of the encoder (after its prefix) and of the decoder.
        fields: Fields of `AUVMAEConfig` that cannot be read from a shape.
        dropped: Prefixes of the names of tensors that are not used.
        channels_first: Whether a patch is predicted as (channel, pixel). Our models and VideoMAE predict
            (pixel, channel).
    """

    name: str
    patch_embedding: str
    names: dict[str, str]
    tables: tuple[str, str]
    fields: dict[str, Any]
    dropped: tuple[str, ...]
    channels_first: bool = False


LAYOUTS = (
    Layout(
        "VideoMAE",
        "patch_embed.proj",
        {
            "embeddings.patch_embeddings.projection": "patch_embed.proj",
            **BLOCK_NAMES,
            "intermediate.dense": "mlp.fc1",
            "output.dense": "mlp.fc2",
        },
        tables=("pos_embed", "pos_embed"),
        # the last normalisation of Transformers' decoder always uses 1e-5, whatever the configuration says
        fields={"layer_norm_eps": 1e-6},
        dropped=("head.", "fc_norm."),
    ),
    Layout(
        "MARLIN",
        "patch_embedding.projection",
        {
            "embeddings.patch_embeddings.projection": "patch_embedding.projection",
            **BLOCK_NAMES,
            "intermediate.dense": "mlp.layers.0.linear",
            "output.dense": "mlp.layers.1.linear",
            "encoder_to_decoder": "enc_dec_proj",
            "mask_token": "decoder.mask_token",
        },
        tables=("pos_embedding.emb", "decoder.pos_embedding.emb"),
        # MARLIN takes and predicts pixels in [0, 1]
        fields={"layer_norm_eps": 1e-5, "norm_pix_loss": False, "image_mean": [0.0] * 3, "image_std": [1.0] * 3},
        dropped=("discriminator.",),
        channels_first=True,
    ),
)


@dataclass(frozen=True)
class Source:
    """Identify the format of a checkpoint, and the prefixes of its names.

    Args:
        layout: Names of the tensors.
        root: Prefix of every name: "", "module.", ...
        encoder: Prefix of the names of the encoder: `root`, or `root` + "encoder.".
        has_decoder: Whether the checkpoint has a decoder.
    """

    layout: Layout
    root: str
    encoder: str
    has_decoder: bool

    @property
    def model_class(self) -> type[AUVMAEPreTrainedModel]:
        """Return our model class that holds all tensors."""
        return AUVMAEForVideoPretraining if self.has_decoder else AUVMAEModel

    @property
    def dropped(self) -> tuple[str, ...]:
        """Return the prefixes of the names of tensors that are not used."""
        return tuple(prefix + name for prefix in (self.root, self.encoder) for name in self.layout.dropped)

    def name_of(self, ours: str) -> str:
        """Return the checkpoint's name of a parameter of `model_class`."""
        inner = ours.removeprefix("videomae.")
        prefix = self.root if self.has_decoder and inner == ours else self.encoder
        for name, theirs in self.layout.names.items():
            inner = inner.replace(name, theirs)
        return prefix + inner

    def tables(self) -> dict[str, str]:
        """Map the names of the position tables to ours."""
        encoder, decoder = self.layout.tables
        if not self.has_decoder:
            return {self.encoder + encoder: "embeddings.position_embeddings"}
        return {
            self.encoder + encoder: "videomae.embeddings.position_embeddings",
            self.root + decoder: "position_embeddings",
        }


def recognise(tensors: Tensors) -> Source:
    """Recognise the format of a checkpoint by its names; see `convert_checkpoint`."""
    for layout in LAYOUTS:
        ending = f"{layout.patch_embedding}.weight"
        for name in tensors:
            if name.endswith(ending):
                encoder = name.removesuffix(ending)
                root = encoder.removesuffix("encoder.")
                has_decoder = root != encoder and any(other.startswith(f"{root}decoder.") for other in tensors)
                return Source(layout, root, encoder, has_decoder)
    if any(name.endswith("patch_embeddings.projection.weight") for name in tensors):
        raise ValueError(
            "the names are those of Transformers. No conversion is needed: pass the folder to --model_name_or_path."
        )
    endings = " nor ".join(f"{layout.patch_embedding}.weight ({layout.name})" for layout in LAYOUTS)
    raise ValueError(f"there is neither {endings}. The first tensors are {', '.join(list(tensors)[:5])}.")

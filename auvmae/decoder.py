"""Decode the masked autoencoder's tokens into pixels of the hidden patches."""

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.videomae.modeling_videomae import (
    VideoMAEDecoder,
    VideoMAEDecoderOutput,
    VideoMAELayer,
    eager_attention_forward,
)

from .configuration import AUVMAEConfig


class AUVMAEDecoder(VideoMAEDecoder):
    """Decode like `VideoMAEDecoder`, without unused computation in the last layer.

    Weights, names and output are those of `VideoMAEDecoder`. Only the last `return_token_num` tokens have logits. The
    last layer therefore needs only keys and values of the other tokens; earlier layers compute every token in full.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__(config)
        if len(self.decoder_layers):
            self.decoder_layers[-1] = LastDecoderLayer(self.config)

    def forward(self, hidden_states: torch.Tensor, return_token_num: int) -> VideoMAEDecoderOutput:
        """Map (B, L, D) to logits (B, return_token_num, patch pixels)."""
        for layer in self.decoder_layers:
            if isinstance(layer, LastDecoderLayer):
                hidden_states = layer(hidden_states, return_token_num)
            else:
                hidden_states = layer(hidden_states)
        return VideoMAEDecoderOutput(logits=self.head(self.norm(last_tokens(hidden_states, return_token_num))))


class LastDecoderLayer(VideoMAELayer):
    """Apply a `VideoMAELayer`, but return only the last `return_token_num` tokens."""

    def forward(self, hidden_states: torch.Tensor, return_token_num: int) -> torch.Tensor:  # type: ignore[override]
        """Map (B, L, D) to (B, return_token_num, D)."""
        context = self._attend(self.layernorm_before(hidden_states), return_token_num)
        residual = last_tokens(hidden_states, return_token_num)
        hidden_states = self.attention.output(context, residual) + residual
        return self.output(self.intermediate(self.layernorm_after(hidden_states)), hidden_states)

    def _attend(self, tokens: torch.Tensor, num_queries: int) -> torch.Tensor:
        """Attend like `VideoMAESelfAttention` from the last `num_queries` tokens to all."""
        attention = self.attention.attention

        def heads(projection: nn.Linear, tokens: torch.Tensor) -> torch.Tensor:
            return projection(tokens).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)

        interface = ALL_ATTENTION_FUNCTIONS.get_interface(
            attention.config._attn_implementation, eager_attention_forward
        )
        context, _ = interface(
            attention,
            heads(attention.query, last_tokens(tokens, num_queries)),
            heads(attention.key, tokens),
            heads(attention.value, tokens),
            None,
            is_causal=attention.is_causal,
            scaling=attention.scaling,
            dropout=attention.dropout_prob if self.training else 0.0,
        )
        return context.flatten(-2)


def last_tokens(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """Return the last `count` of the tokens (B, L, D).

    They are all tokens if `count` is 0, as in VideoMAE's decoder.
    """
    return tokens.narrow(1, tokens.shape[1] - count, count) if count else tokens

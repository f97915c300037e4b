"""Convert checkpoints written by the code of VideoMAE (both versions) or MARLIN.

Sizes are read from the shapes of the tensors. All other settings are assumed to be those of the published models, and
the assumptions are reported. Nothing is filled in or dropped silently.
"""

import argparse
import math
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tqdm.auto import tqdm

from ..configuration import AUVMAEConfig
from ..embeddings import sinusoid_table
from ..modeling_auvmae import AUVMAEPreTrainedModel
from ..weights import POINTER_PROBLEM, check_finite, is_pointer
from .layouts import QKV, Source, Tensors, recognise

WRAPPERS = ("model", "module", "state_dict")
"""Keys under which VideoMAE's script, DeepSpeed and Lightning save the weights."""

HEADS = {1280: 16, 1408: 16, 640: 8}
"""Number of heads for published widths with heads that are not 64 wide: ViT-H, ViT-g, first decoder of ViT-H."""

TABLE_TOLERANCE = 1e-3
"""Largest difference from our position table.

MARLIN computes the angles in float32, which changes its table by 1e-4 at the last position, and its features by 5e-5.
Such a table is kept. Any other table differs by about 1.
"""

SAME_TABLE = 1e-6
"""Largest difference of tables that were computed in float64."""

UNLIKE_OURS = {
    r"\.attn\.scale$": "cosine attention (cos_attn)",
    r"\.gamma_[12]$": "layer scale (init_values)",
    r"\bcls_token$": "a class token",
}


@dataclass(frozen=True)
class Conversion:
    """Hold a converted checkpoint.

    Args:
        model: `AUVMAEForVideoPretraining`, or `AUVMAEModel` if the file has no decoder; float32.
        format: "VideoMAE" or "MARLIN".
        assumed: Fields of the configuration that neither the file nor the caller specified.
        dropped: Names of the tensors that the model does not use, such as those of a classifier.
    """

    model: AUVMAEPreTrainedModel
    format: str
    assumed: dict[str, Any]
    dropped: list[str]


def convert_checkpoint(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Conversion:
    """Convert a checkpoint of VideoMAE, VideoMAE V2 or MARLIN.

    Args:
        path: File with the suffix `.pth`, `.pt`, `.ckpt` or `.safetensors`.
        overrides: Fields of `AUVMAEConfig` that override those read from the shapes or assumed.

    Returns:
        The model, and what was assumed and dropped.

    Raises:
        ValueError: The file is damaged, holds more than tensors, or has an unknown format. Or tensors are missing, left
            over, not finite or of the wrong shape, or the architecture differs from ours. The message names the
            tensors.
        OSError: The file cannot be read.
    """
    tensors = read_tensors(path)
    try:
        source = recognise(tensors)
        config, assumed = read_config(tensors, source, overrides or {})
        renamed, dropped = rename_tensors(tensors, source, config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    check_finite(renamed, path)
    model = source.model_class.from_pretrained(None, config=config, state_dict=renamed)
    return Conversion(model, source.layout.name, assumed, dropped)


def read_tensors(path: str | Path) -> Tensors:
    """Read the tensors of a file by name, without running any code in it.

    The arguments and errors are those of `convert_checkpoint`.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Pass the file with the weights.")
    if is_pointer(path):
        raise ValueError(f"{path}: {POINTER_PROBLEM}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # VideoMAE's script also saves its command line, as a namespace that only holds values
        with torch.serialization.safe_globals([argparse.Namespace]):
            # memory-mapped, because the file may hold an optimizer state twice the size of the weights
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError:
        raise
    except Exception as error:  # a file that is not a checkpoint may raise any exception
        asked = re.search(r"(?:GLOBAL|class|function) (\S+)", str(error))
        if asked and isinstance(error, pickle.UnpicklingError):
            raise ValueError(
                f"{path}: the file holds more than tensors: it requires {asked[1]}. Code in a checkpoint is never run. "
                "If you trust the file, load it with the code that wrote it, and save only model.state_dict()."
            ) from None
        raise ValueError(f"{path}: the file is not a checkpoint, or it is damaged ({type(error).__name__}).") from error
    if isinstance(loaded, dict):
        loaded = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), dict)), loaded)
    names = list(loaded) if isinstance(loaded, dict) else []
    others = [str(name) for name in names if not isinstance(loaded[name], torch.Tensor)]
    if others or not names:
        raise ValueError(
            f"{path}: there are no weights under {', '.join(WRAPPERS)} or at the top level; found instead: "
            f"{', '.join(others) or type(loaded).__name__}."
        )
    return loaded


def read_config(tensors: Tensors, source: Source, overrides: Mapping[str, Any]) -> tuple[AUVMAEConfig, dict[str, Any]]:
    """Read the configuration from the shapes of the tensors; see `convert_checkpoint`.

    Returns:
        The configuration, and those of its fields that were assumed.
    """
    if unknown := sorted(set(overrides) - set(AUVMAEConfig().to_dict())):
        raise ValueError(f"AUVMAEConfig has no field {', '.join(unknown)}.")
    for pattern, what in UNLIKE_OURS.items():
        if found := [name for name in tensors if re.search(pattern, name)]:
            raise ValueError(f"VideoMAEConfig does not support {what}, but the checkpoint has {found[0]}.")

    kernel = shape_of(tensors, f"{source.encoder}{source.layout.patch_embedding}.weight", 5)
    if kernel[3] != kernel[4]:
        raise ValueError(f"patches must be square, but those of the checkpoint are {kernel[3]} x {kernel[4]} pixels.")
    fields: dict[str, Any] = dict(zip(("num_channels", "tubelet_size", "patch_size"), kernel[1:4], strict=True))
    fields |= read_blocks(tensors, source, source.encoder)
    if source.has_decoder:
        decoder = read_blocks(tensors, source, f"{source.root}decoder.")
        fields |= {f"decoder_{name}": value for name, value in decoder.items()}
    fields["qv_bias"] = any(name.endswith("attn.q_bias") for name in tensors)
    # A fine-tuned VideoMAE normalises the mean over tokens in its head (fc_norm). All others normalise each token.
    fields["use_mean_pooling"] = f"{source.encoder}fc_norm.weight" in tensors

    assumed: dict[str, Any] = {"num_frames": 16, "image_size": 224, **source.layout.fields}
    for prefix in ("", "decoder_") if source.has_decoder else ("",):
        width, heads = fields[f"{prefix}hidden_size"], f"{prefix}num_attention_heads"
        if heads not in overrides:
            if width not in HEADS and width % 64:
                raise ValueError(f"the number of heads for a width of {width} is unknown. Give {heads} in --config.")
            assumed[heads] = HEADS.get(width, width // 64)
    table = tensors.get(next(iter(source.tables())))
    if table is not None and table.ndim == 3:
        slots = int(overrides.get("num_frames", assumed["num_frames"])) // fields["tubelet_size"]
        assumed["image_size"] = math.isqrt(table.shape[1] // max(slots, 1)) * fields["patch_size"]
    assumed = {name: value for name, value in assumed.items() if name not in overrides}
    return AUVMAEConfig(**(fields | assumed | dict(overrides))), assumed


def read_blocks(tensors: Tensors, source: Source, within: str) -> dict[str, int]:
    """Read width, depth and inner width of the blocks whose names begin with `within`."""
    index = re.compile(re.escape(f"{within}blocks.") + r"(\d+)\.")
    depth = max((int(found[1]) for name in tensors if (found := index.match(name))), default=0) + 1
    inner, width = shape_of(tensors, f"{within}blocks.0.{source.layout.names['intermediate.dense']}.weight", 2)
    return {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": inner}


def shape_of(tensors: Tensors, name: str, dimensions: int) -> torch.Size:
    """Return the shape of a tensor from which sizes are read.

    Raises:
        ValueError: The tensor is missing, or has another number of dimensions.
    """
    if name not in tensors:
        raise ValueError(f"missing: {name}.")
    if tensors[name].ndim != dimensions:
        raise ValueError(f"wrong shape: {name} {tuple(tensors[name].shape)} instead of {dimensions} dimensions.")
    return tensors[name].shape


def rename_tensors(tensors: Tensors, source: Source, config: AUVMAEConfig) -> tuple[Tensors, list[str]]:
    """Rename the tensors to our names, in float32; see `convert_checkpoint`.

    Returns:
        The tensors by our names, and the original names of those dropped.
    """
    with torch.device("meta"):
        expected = source.model_class(config).state_dict()
    tables = source.tables()
    dropped = [name for name in tensors if name.startswith(source.dropped)]
    left_over = set(tensors) - set(tables) - set(dropped)
    missing, misshapen, renamed = [], [], {}
    for ours, parameter in tqdm(expected.items(), "convert", unit="tensor"):
        theirs, shape = source.name_of(ours), parameter.shape
        if theirs not in tensors:
            missing.append(theirs)
            continue
        left_over.discard(theirs)
        tensor = tensors[theirs]
        part = next((QKV.index(part) for part in QKV if ours.endswith(f".{part}.weight")), None)
        if part is not None:  # one matrix holds query, key and value
            shape = torch.Size((3 * shape[0], shape[1]))
        if tensor.shape != shape:
            misshapen.append(f"{theirs} {tuple(tensor.shape)} instead of {tuple(shape)}")
            continue
        if part is not None:
            tensor = tensor.chunk(3)[part]
        elif source.layout.channels_first and ours.startswith("decoder.head."):
            tensor = tensor.unflatten(0, (config.num_channels, -1)).transpose(0, 1).flatten(0, 1)
        renamed[ours] = tensor.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    faults = {
        "missing": list(dict.fromkeys(missing)),
        "left over": sorted(left_over),
        "wrong shape": list(dict.fromkeys(misshapen)),
    }
    if any(faults.values()):
        raise ValueError("; ".join(f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names) + ".")
    computed = {name: computed_table(ours, config) for name, ours in tables.items()}
    changes = [check_table(name, tensors[name], computed[name], config) for name in tables.keys() & tensors.keys()]
    if max(changes, default=0) > SAME_TABLE:
        config.stored_positions = True
        renamed |= {ours: tensors.get(name, computed[name]).float() for name, ours in tables.items()}
    return renamed, dropped


def computed_table(name: str, config: AUVMAEConfig) -> torch.Tensor:
    """Compute the position table that one of our models calls `name`."""
    width = config.decoder_hidden_size if name == "position_embeddings" else config.hidden_size
    return sinusoid_table(config.tokens_per_window, width)


def check_table(name: str, table: torch.Tensor, computed: torch.Tensor, config: AUVMAEConfig) -> float:
    """Return the largest difference of a position table from the computed one.

    Raises:
        ValueError: The table is for another number of frames or pixels, or is not sine-cosine (learned positions).
    """
    if table.shape != computed.shape:
        raise ValueError(
            f"{name} has the shape {tuple(table.shape)} instead of {tuple(computed.shape)} for {config.num_frames} "
            f"frames of {config.image_size} pixels. Give num_frames and image_size in --config."
        )
    difference = (table.float() - computed).abs().max().item()
    if not difference < TABLE_TOLERANCE:
        raise ValueError(
            f"{name} differs from the fixed sine-cosine table by {difference:.2g}. VideoMAEConfig does not support "
            "learned positions."
        )
    return difference

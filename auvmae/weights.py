"""Find, check and hash weights, and explain why a file cannot be loaded."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_PROBLEM = "is a Git LFS pointer instead of weights. Run `git lfs pull` in its folder, or download it again."
INDEX_SUFFIX = ".index.json"
FLOATS = ("F16", "BF16", "F32", "F64")

PACKAGED = {
    "portraits": Path(__file__).with_name("portrait_model"),
    "tiny": Path(__file__).with_name("tiny_encoder"),
}
"""Checkpoints in the package: the detector trained on animated portraits, and an encoder trained on drawn faces."""

DEFAULT_MODEL = "portraits"
"""Name of the packaged checkpoint that detects action units where no other is named."""


def packaged_path(name: str | Path) -> str:
    """Return the folder of a packaged checkpoint, and any other name as it is.

    A folder of the same name is `./portraits`.
    """
    return str(PACKAGED.get(str(name), name))


def describe_checks(checks: Mapping[str, str]) -> str:
    """List the action units that are not verified on real faces.

    Args:
        checks: Outcomes of `AUVMAEConfig.au_checks`.

    >>> describe_checks({"AU1": "passed", "AU7": "none", "AU9": "none", "AU14": "failed"})
    'Not verified on real faces: AU7, AU9. Failed their check: AU14.'
    >>> describe_checks({"AU1": "passed"})
    ''
    """
    texts = {"none": "Not verified on real faces", "failed": "Failed their check"}
    named = {outcome: [name for name, found in checks.items() if found == outcome] for outcome in texts}
    return " ".join(f"{texts[outcome]}: {', '.join(names)}." for outcome, names in named.items() if names)


def packaged_checks() -> dict[str, str]:
    """Read the outcomes of the packaged detector's checks, without its weights."""
    fields: dict[str, dict[str, str]] = json.loads((PACKAGED[DEFAULT_MODEL] / "config.json").read_bytes())
    return {name: fields["au_checks"][name] for name in fields["id2label"].values()}


def check_finite(tensors: Mapping[str, torch.Tensor], source: object) -> None:
    """Check that all weights are finite, in one pass over the memory.

    Raises:
        ValueError: A weight is NaN or infinite. The message names `source` and the tensors.
    """
    # A sum is not finite if any number is not, and it needs no copy. It may overflow, hence the second look.
    wrong = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not tensor.is_meta
        if not tensor.sum().isfinite() and not tensor.isfinite().all()
    ]
    if wrong:
        raise ValueError(
            f"{source}: {len(wrong)} of {len(tensors)} weights hold NaN or infinite numbers, the first is {wrong[0]}. "
            "The file is damaged, or the training diverged. Copy it again, or use an earlier checkpoint."
        )


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's weights with SHA-256, over names, types, shapes and values.

    The hash does not depend on how the weights are split into files.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def is_hub_name(name: str) -> bool:
    """Tell whether a name can be one of the Hub.

    It then has the form `owner/name`, and the owner is no folder here.
    """
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not Path(name).parent.is_dir()


def check_folder(name: str) -> None:
    """Check that what can only be a local path is the folder of a checkpoint.

    `is_hub_name` tells what else it can be.

    Raises:
        OSError: It is a file, does not exist, or has no `config.json`. The message names similar folders.
    """
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise FileNotFoundError(f"{path} is not the folder of a checkpoint: there is no config.json.")
    if path.is_file():
        raise NotADirectoryError(f"{path} is a file. Pass the folder of the checkpoint, {path.parent}.")
    if not path.is_dir() and not is_hub_name(name):
        folders = [*PACKAGED, *(str(folder) for folder in path.parent.glob("*") if folder.is_dir())]
        similar = get_close_matches(str(path), folders, n=2)
        hint = f"Did you mean {' or '.join(similar)}?" if similar else "A model of the Hub is named `owner/model`."
        raise FileNotFoundError(f"there is no folder {name}. {hint}")


def check_weights_file(path: Path) -> None:
    """Check that a safetensors file is whole and finite, tensor by tensor.

    Raises:
        OSError: The file is damaged.
        ValueError: A weight is NaN or infinite.
    """
    if problem := find_damage(path):
        raise OSError(f"{path} {problem}")
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118  # not a mapping
            check_finite({name: file.get_tensor(name)}, path)


def find_damaged_file(folder: Path, safetensors_only: bool) -> str | None:
    """Describe the first damaged or missing weight file of a folder, if any."""
    for index in sorted(folder.glob(f"*{INDEX_SUFFIX}")):
        try:
            shards = set(json.loads(index.read_bytes())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{index} is damaged ({type(error).__name__}). Copy or download it again."
        if lost := sorted(shard for shard in shards if not (folder / shard).is_file()):
            return f"{index} names {lost[0]}, which is not in the folder. Copy or download it again."
    patterns = ("*.safetensors",) if safetensors_only else ("*.safetensors", "pytorch_model*.bin")
    files = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    return next((f"{file} {problem}" for file in files if (problem := find_damage(file))), None)


def find_damage(path: Path) -> str | None:
    """Describe the damage of a file of weights, or return None if it opens."""
    if not path.stat().st_size:
        return "is empty. Copy or download it again."
    if is_pointer(path):
        return POINTER_PROBLEM
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                # other files, such as that of the criterion, may hold masks and counts
                for name in file.keys() if path.name.startswith("model") else ():
                    kind = file.get_slice(name).get_dtype()
                    if kind not in FLOATS and not name.endswith(".num_batches_tracked"):  # a count of batch norm
                        return f"holds {name} as {kind}, not as floating-point numbers. Copy or download it again."
            return None
        torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except SafetensorError as error:
        return f"is damaged or not whole ({error}). Copy or download it again."
    except Exception as error:  # torch.load documents no errors
        return f"is no file of weights, or damaged ({type(error).__name__}). Copy or download it again."
    return None


def is_pointer(path: Path) -> bool:
    """Tell whether a file is a pointer of Git LFS, left by a clone without it."""
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER

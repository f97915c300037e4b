"""Check exported models, and call them as `AUDetector` calls a PyTorch model."""

import json
from abc import ABC, abstractmethod
from hashlib import file_digest
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...configuration import LEVELS, AUVMAEConfig
from ...outputs import AUVMAEForFrameAUClassificationOutput
from ...system.hardware import check_cpu_dtype, cpu_has_int8

RECORD_FILE = "export.json"
TIED_FILES = ("config.json", "preprocessor_config.json")
"""Files that an exported model is only valid with."""

INT8_SUFFIX = ".int8"
"""Ending of the names of int8 files, before their suffix."""

AGAIN = "export the checkpoint again with `auvmae export`"


def check_export(path: Path, files: tuple[Path, ...]) -> None:
    """Check that a model and the files beside it were exported together.

    Args:
        path: Path of the model.
        files: All files of the model.

    Raises:
        ValueError: The SHA-256 of a file is not the one in `export.json`, there is no such record, or another version
            of this package wrote it.
    """
    try:
        record = json.loads(path.with_name(RECORD_FILE).read_bytes())
        recorded, version = record["sha256"], record["versions"]["auvmae"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.with_name(RECORD_FILE)} is missing or damaged, so {path.name} cannot be verified: {AGAIN}"
        ) from error
    if version != (ours := installed_version("auvmae")):
        raise ValueError(f"{path} was exported by auvmae {version}, but this is auvmae {ours}: {AGAIN}")
    for file in (*files, *map(path.with_name, TIED_FILES)):
        if not isinstance(recorded, dict) or recorded.get(file.name) != file_sha256(file):
            raise ValueError(f"{file} is not the file that was exported (by its SHA-256): {AGAIN}")


def file_sha256(path: Path) -> str | None:
    """Return the hexadecimal SHA-256 of a file, or None if it does not exist."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


class ExportedModel(ABC):
    """Run a model in another runtime, on as many threads as torch has.

    The call is that of `AUVMAEForFrameAUClassification` on windows: `model(pixel_values, bool_masked_pos).logits`, and
    `.intensity_logits` if the model grades intensities.

    Args:
        path: Path of a file written by `auvmae export`. The config.json in its folder is read, too.
        device, dtype: Device and data type of the computation. The device must be the CPU, and int8 files compute what
            is not int8 in float32.
        level: "video", "frame" or "patch" to require this level, since a file supports only one; None for any.

    Raises:
        ImportError: If the runtime is not installed.
        OSError: If the file or its configuration does not exist.
        ValueError: If device, dtype or level differ from the file's, the processor lacks the data type, or the runtime
            cannot read the file.
    """

    engine: ClassVar[str]
    """Name of the engine, and of the extra that installs it."""

    package: ClassVar[str]
    """Package of the runtime."""

    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32,)
    """Data types that the runtime computes in."""

    device = torch.device("cpu")

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        level: str | None = None,
    ) -> None:
        self.import_runtime()
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: create it with `auvmae export MODEL -o {path.parent}`")
        if path.stem.endswith(INT8_SUFFIX) and not cpu_has_int8():
            raise ValueError(
                f"{path} needs a processor with int8 instructions (VNNI or AMX), and is slower than float32 on this "
                f"one: use {path.with_stem(path.stem.removesuffix(INT8_SUFFIX))}"
            )
        dtypes = self.dtypes_of(path)
        if str(device or "cpu") != "cpu" or dtype not in dtypes:
            known = " or ".join(str(one).removeprefix("torch.") for one in dtypes)
            raise ValueError(f"{path} runs on the CPU in {known} only, found device {device} and dtype {dtype}")
        check_cpu_dtype(dtype)
        config = AUVMAEConfig.from_pretrained(path.parent)
        own = config.sampling_rate, config.mask_ratio
        if level is not None and LEVELS.get(level) != own:
            raise ValueError(
                f"{path} was exported with sampling_rate {own[0]} and mask_ratio {own[1]}, which is not level "
                f"{level!r}: export the checkpoint again with --level"
            )
        self._describe(config, dtype, f"{path.resolve().parent.name}/{path.name}")
        self.path = path
        try:
            self._open(path)
        except Exception as error:  # the errors of runtimes share no base class
            raise ValueError(
                f"{self.package} cannot read {path} as a model: {' '.join(str(error).split())}; export the model again"
            ) from error

    def _describe(self, config: AUVMAEConfig, dtype: torch.dtype, name: str) -> None:
        self.config, self.dtype, self.name_or_path = config, dtype, name

    @classmethod
    def import_runtime(cls) -> Any:
        """Import and return the package of the runtime.

        Raises:
            ImportError: It is not installed.
        """
        try:
            return __import__(cls.package)
        except ImportError as error:
            raise ImportError(
                f"the engine {cls.engine} needs the extra `{cls.engine}`: pip install auvmae[{cls.engine}] ({error})"
            ) from error

    @classmethod
    def dtypes_of(cls, path: Path) -> tuple[torch.dtype, ...]:
        """List the data types that the runtime computes a file in."""
        return (torch.float32,) if path.stem.endswith(INT8_SUFFIX) else cls.dtypes

    @classmethod
    def files(cls, path: Path) -> tuple[Path, ...]:
        """List the files of the model at a path."""
        return (path,)

    @abstractmethod
    def _open(self, path: Path) -> None:
        """Open the model."""

    @abstractmethod
    def _run(self, inputs: dict[str, NDArray[Any]], names: list[str]) -> list[NDArray[np.float32]]:
        """Compute the named outputs of a batch."""

    def eval(self) -> "ExportedModel":
        """Return the model, which has only an evaluation mode."""
        return self

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the bytes of the files as uint8, for `weights_sha256` to hash."""
        return {path.suffix[1:]: torch.from_numpy(np.fromfile(path, np.uint8)) for path in self.files(self.path)}

    def __call__(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None
    ) -> AUVMAEForFrameAUClassificationOutput:
        """Compute the logits of windows, each independently of the others.

        See `AUVMAEForFrameAUClassification.forward`.

        Args:
            pixel_values: Floats `(B, num_frames, C, H, W)`.
            bool_masked_pos: Bool `(B, L)`, True = hidden, `int(mask_ratio * P)` of the P patches of each slot. Required
                if the level has a mask, and not allowed otherwise.

        Raises:
            ValueError: If the mask hides another number of patches, or the runtime fails.
        """
        inputs = {"pixel_values": pixel_values.float().numpy()}
        if bool_masked_pos is not None:
            self._check_mask(bool_masked_pos)
            inputs["bool_masked_pos"] = bool_masked_pos.numpy()
        names = ["logits", "intensity_logits"][: 1 + self.config.grade_intensities]
        try:
            found = self._run(inputs, names)
        except Exception as error:  # the errors of runtimes share no base class
            raise ValueError(f"{self.name_or_path} cannot be run: {' '.join(str(error).split())}") from error
        tensors: Any = {name: torch.from_numpy(values) for name, values in zip(names, found, strict=True)}
        return AUVMAEForFrameAUClassificationOutput(**tensors)

    def _check_mask(self, mask: torch.Tensor) -> None:
        patches = self.config.patches_per_slot
        expected = int(self.config.mask_ratio * patches)
        found = mask.reshape(len(mask), -1, patches).sum(dim=2)
        if (found != expected).any():
            wrong = int(found[found != expected][0])
            raise ValueError(f"the mask hides {wrong} of {patches} patches, but the model was exported for {expected}")

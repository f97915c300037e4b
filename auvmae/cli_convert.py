"""`auvmae convert`: checkpoints of VideoMAE and MARLIN as folders of ours."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .convert import Conversion

CONVERSION_FILE = "conversion.json"

HELP = "start from VideoMAE's or MARLIN's own checkpoints"

DESCRIPTION = """\
Convert a checkpoint of the original VideoMAE, of VideoMAE V2 or of MARLIN to a folder for --model_name_or_path of
run_pretrain.py and run_finetune.py: the masked autoencoder where the decoder is in the file, else the encoder alone.
Code inside a checkpoint is never run. Tensors that are missing, left over or of another shape are an error.
Beside the model, OUT/conversion.json names the source, its SHA-256, and what was assumed and dropped.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae convert`."""
    parser.add_argument("input", metavar="IN", help="checkpoint (.pth, .pt, .ckpt or .safetensors)")
    parser.add_argument("output", metavar="OUT", help="the folder to write")
    parser.add_argument(
        "--config",
        type=json.loads,
        default={},
        metavar="JSON",
        help='fields of AUVMAEConfig over what is read off the tensors or assumed, e.g. {"num_attention_heads": 12}',
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model's folder")


def run(arguments: argparse.Namespace) -> int:
    """Read, convert, write and tell; the exit code is 2 where the file cannot be converted."""
    from .convert import convert_checkpoint

    source, output = Path(arguments.input), Path(arguments.output).resolve()
    try:
        check_output(output, source, arguments.overwrite)
        conversion = convert_checkpoint(source, arguments.config)
        save_conversion(conversion, source, output)
    except (ValueError, OSError) as error:
        print(f"auvmae convert: {error}", file=sys.stderr)
        return 2
    config = conversion.model.config
    print(
        f"{conversion.format}: {config.num_hidden_layers} layers of {config.hidden_size}, tubelets of "
        f"{config.tubelet_size} x {config.patch_size} x {config.patch_size}, {type(conversion.model).__name__}"
    )
    print(f"assumed (--config changes it): {json.dumps(conversion.assumed)}")
    if conversion.dropped:
        print(f"dropped: {', '.join(conversion.dropped)}")
    print(f"written: {output}")
    return 0


def check_output(output: Path, source: Path, overwrite: bool) -> None:
    """Refuse a folder that would take something else along.

    Raises:
        OSError: `output` is a file, is not empty and not to be overwritten, is no model's folder, or holds `source`.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file: name a folder.")
    if not overwrite:
        raise FileExistsError(f"{output} is there already: name another folder, or add --overwrite.")
    if not (output / "config.json").is_file():
        raise FileExistsError(f"{output} has no config.json, so it is no model's folder and is not overwritten.")
    if source.resolve().is_relative_to(output):
        raise FileExistsError(f"{source} lies in {output}, which would be overwritten: name another folder.")


def save_conversion(conversion: "Conversion", source: Path, output: Path) -> None:
    """Write the model and where it comes from; the folder is there whole or not at all."""
    with source.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    record = {
        "source": source.name,
        "sha256": digest,
        "format": conversion.format,
        "assumed": conversion.assumed,
        "dropped": conversion.dropped,
    }
    with replacing_folder(output) as folder:
        conversion.model.save_pretrained(folder)
        (folder / CONVERSION_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of `path` once the block ends without error."""
    temporary, old = (path.with_name(f"{path.name}.{os.getpid()}.{what}") for what in ("tmp", "old"))
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

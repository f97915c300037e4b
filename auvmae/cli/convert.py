"""`auvmae convert`: checkpoints of VideoMAE and MARLIN as folders of ours."""

import argparse
import json
import sys
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.files import check_output, replacing_folder

if TYPE_CHECKING:
    from ..checkpoints.convert import Conversion

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
    from ..checkpoints.convert import convert_checkpoint

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

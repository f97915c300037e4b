"""Convert checkpoints of VideoMAE and MARLIN (`auvmae convert`)."""

import argparse
import json
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.endings import failed
from ..system.files import check_output, replacing_folder

if TYPE_CHECKING:
    from ..conversion.convert import Conversion

CONVERSION_FILE = "conversion.json"

HELP = "convert a VideoMAE or MARLIN checkpoint"

DESCRIPTION = """\
Convert a checkpoint of the original VideoMAE, of VideoMAE V2 or of MARLIN. The
output folder can be passed as --model_name_or_path to run_pretrain.py and
run_finetune.py. It holds the full masked autoencoder if the file includes the
decoder, and the encoder alone otherwise.

Code inside a checkpoint is never executed. Tensors that are missing,
unexpected or of the wrong shape are an error. OUT/conversion.json records the
source file, its SHA-256, the settings that were assumed and the tensors that
were dropped.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae convert`."""
    parser.add_argument("input", metavar="IN", help="checkpoint to convert (.pth, .pt, .ckpt or .safetensors)")
    parser.add_argument("output", metavar="OUT", help="output folder")
    parser.add_argument(
        "--config",
        default="{}",
        metavar="JSON",
        help="AUVMAEConfig fields that override the inferred and assumed ones, as JSON, e.g. "
        '{"num_attention_heads": 12}',
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model folder")


def run(arguments: argparse.Namespace) -> int:
    """Convert a checkpoint, print a summary and return the exit code.

    The exit code is 2 if the file cannot be converted.
    """
    from ..conversion.convert import convert_checkpoint
    from ..system.settings import parse_json

    source, output = Path(arguments.input), Path(arguments.output).resolve()
    try:
        check_output(output, source, arguments.overwrite)
        conversion = convert_checkpoint(source, parse_json(arguments.config, "--config"))
        save_conversion(conversion, source, output)
    except (ValueError, OSError) as error:
        return failed("auvmae convert", error)
    config = conversion.model.config
    print(
        f"{conversion.format}: {config.num_hidden_layers} layers of {config.hidden_size}, tubelets of "
        f"{config.tubelet_size} x {config.patch_size} x {config.patch_size}, {type(conversion.model).__name__}"
    )
    print(f"assumed (override with --config): {json.dumps(conversion.assumed)}")
    if conversion.dropped:
        print(f"dropped: {', '.join(conversion.dropped)}")
    print(f"written: {output}")
    return 0


def save_conversion(conversion: "Conversion", source: Path, output: Path) -> None:
    """Write the model and the record of its source, in one atomic step."""
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

"""`auvmae export MODEL -o OUT`: a fine-tuned checkpoint as ONNX."""

import argparse
import sys
from pathlib import Path

HELP = "a fine-tuned model as ONNX, in float32 and int8"

DESCRIPTION = """\
Export a fine-tuned checkpoint for onnxruntime: OUT/model.onnx (float32), with --int8 also OUT/model.int8.onnx (dynamic
quantisation), the configuration, the processor, and export.json: inputs, output, where it all came from, and how far
the files' numbers are from the model's. Logits of model.onnx that are further than 1e-4 from it are an error, and
nothing is written. `auvmae predict -m OUT/model.onnx` runs it. A file is for one level and for one window of frames;
any number of windows may go in at once.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae export`."""
    parser.add_argument("model", metavar="MODEL", help="a fine-tuned checkpoint: a folder, or a name on the Hub")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to write")
    parser.add_argument("--int8", action="store_true", help="also with int8 weights; measure F1 before you use it")
    parser.add_argument("--level", choices=("video", "frame", "patch"), help="(default: as the model was trained)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model's folder")


def run(arguments: argparse.Namespace) -> int:
    """Export, check and tell; the exit code is 2 where the checkpoint cannot be exported."""
    from ..checkpoints.export import export_model
    from ..inference.detector import AUDetector
    from ..system.files import check_output

    output = Path(arguments.output).resolve()
    try:
        check_output(output, Path(arguments.model), arguments.overwrite)
        detector = AUDetector.from_pretrained(arguments.model, device="cpu", dtype="float32", level=arguments.level)
        record = export_model(detector, output, arguments.int8)
    except (ValueError, OSError, ImportError) as error:
        print(f"auvmae export: {error}", file=sys.stderr)
        return 2
    for name, largest in record["largest_difference"].items():
        print(
            f"{output / name}: at most {largest['logits']:.1e} from the model's logits on random windows, "
            f"{largest['probs']:.1e} from its probabilities"
        )
    return 0

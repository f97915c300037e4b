"""Export a fine-tuned checkpoint to ONNX (`auvmae export`)."""

import argparse
from pathlib import Path

from ..system.endings import failed
from ..weights import DEFAULT_MODEL

HELP = "export a fine-tuned model to ONNX, in float32 and int8"

DESCRIPTION = """\
Export a fine-tuned checkpoint to ONNX, to run it with onnxruntime.

OUT contains:
  model.onnx       the model in float32
  model.int8.onnx  the model with int8 weights, by dynamic quantisation (--int8)
  export.json      inputs, output, source, and differences from PyTorch
  the configuration and the processor

If the logits of model.onnx differ from the PyTorch model's by more than 1e-4,
the export fails and nothing is written. Predict with the exported model by
`auvmae predict -m OUT/model.onnx`. A file supports one level and one window
length, and any number of windows per batch.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae export`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        default=DEFAULT_MODEL,
        help=f"fine-tuned checkpoint: a folder, or a name on the Hub (default: {DEFAULT_MODEL}, the packaged model)",
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="output folder")
    parser.add_argument(
        "--int8", action="store_true", help="write an int8 model, too; measure its F1 before you use it"
    )
    parser.add_argument(
        "--level",
        choices=("video", "frame", "patch"),
        help="input level: every frame (video), every 4th frame (frame), or half of the patches masked (patch) "
        "(default: the level of training)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model folder")


def run(arguments: argparse.Namespace) -> int:
    """Export and check a model, print the differences and return the exit code.

    The exit code is 2 if the checkpoint cannot be exported.
    """
    from ..conversion.export import export_model
    from ..inference.detector import AUDetector
    from ..system.files import check_output

    output = Path(arguments.output).resolve()
    try:
        check_output(output, Path(arguments.model), arguments.overwrite)
        detector = AUDetector.from_pretrained(arguments.model, device="cpu", dtype="float32", level=arguments.level)
        record = export_model(detector, output, arguments.int8)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae export", error)
    for name, largest in record["largest_difference"].items():
        print(
            f"{output / name}: on random windows, logits differ from the PyTorch model's by at most "
            f"{largest['logits']:.1e}, probabilities by at most {largest['probs']:.1e}"
        )
    return 0

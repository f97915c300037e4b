"""Export a fine-tuned checkpoint to ONNX or OpenVINO (`auvmae export`)."""

import argparse
from pathlib import Path

from .. import demo
from ..system.endings import failed
from ..weights import DEFAULT_MODEL

HELP = "export a fine-tuned model to ONNX or OpenVINO, in float32 and int8"

DESCRIPTION = """\
Export a fine-tuned checkpoint to ONNX, to run it with onnxruntime, or to
OpenVINO.

OUT contains:
  model.onnx       the model in float32
  model.int8.onnx  the model in int8 (--int8), for processors with VNNI or AMX
  export.json      inputs, output, source, and differences from PyTorch
  the configuration and the processor

With --format openvino, model.xml and model.bin are written in place of
model.onnx. They compute in float32 or bfloat16, as `auvmae predict --dtype`
says.

If the float32 logits differ from the PyTorch model's by more than 1e-4, the
export fails and nothing is written. Predict with the exported model by
`auvmae predict -m OUT/model.onnx`. A file supports one level and one window
length.
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
        "--format", choices=("onnx", "openvino"), default="onnx", help="runtime to export to (default: onnx)"
    )
    parser.add_argument(
        "--int8", action="store_true", help="write an int8 model, too; measure its F1 before you use it"
    )
    parser.add_argument(
        "--calibration",
        metavar="VIDEO",
        nargs="+",
        help="videos with faces, from which --int8 takes the ranges of the model's numbers; yours are best (default: "
        "two packaged videos of portraits)",
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
    from ..inference.runtimes.exported import INT8_SUFFIX
    from ..system.files import check_output

    output = Path(arguments.output).resolve()
    try:
        if arguments.calibration and not arguments.int8:
            raise ValueError("--calibration needs --int8")
        calibration = (arguments.calibration or _packaged_videos()) if arguments.int8 else []
        check_output(output, Path(arguments.model), arguments.overwrite)
        detector = AUDetector.from_pretrained(arguments.model, device="cpu", dtype="float32", level=arguments.level)
        record = export_model(detector, output, arguments.format, calibration)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae export", error)
    for name, largest in record["largest_difference"].items():
        windows = "windows of the videos" if INT8_SUFFIX in name else "random windows"
        print(
            f"{output / name}: on {windows}, logits differ from the PyTorch model's by at most "
            f"{largest['logits']:.1e}, probabilities by at most {largest['probs']:.1e}"
        )
    return 0


def _packaged_videos() -> list[Path]:
    return sorted(Path(demo.__file__).parent.glob("*.mp4"))

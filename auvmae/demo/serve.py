"""Serve the page with its model, its examples and a temporary folder."""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from ..faces.detection import load_detector
from ..inference.detector import AUDetector
from ..video.reading import VIDEO_SUFFIXES
from .limits import Limits
from .page import build_page

EXAMPLES = Path(__file__).parent
"""Folder of two animated portraits, which the packaged model has not seen."""

STYLE = Path(__file__).with_name("page.css").read_text()
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
"""Fonts of the visitor's machine; none is downloaded."""


def serve_page(
    model: str,
    limits: Limits,
    *,
    examples: str | Path | None = None,
    all_aus: bool = False,
    cropped: bool = False,
    device: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> None:
    """Serve the page until it is interrupted or terminated, then delete its files.

    Args:
        model: Fine-tuned checkpoint, a folder or a name on the Hub.
        limits: Limits for recordings.
        examples: Folder of example videos; by default two animated portraits.
        all_aus, cropped: See `AUDetector`.
        device: Device as for `AUDetector.from_pretrained`.
        host: Address to listen on; if None, GRADIO_SERVER_NAME, which Spaces set, or else 127.0.0.1.
        port: Port to listen on; by default the first free one from 7860.

    Raises:
        ValueError: If the checkpoint does not detect action units, or the folder of examples contains no video.
        OSError: If the checkpoint or the folder does not exist, or the port is taken.
        ImportError: If Gradio or the face detector is not installed.
    """
    detector = AUDetector.from_pretrained(model, all_aus=all_aus, cropped=cropped, device=device)
    if not cropped:
        load_detector(detector.recipe.detector, detector.recipe.min_face)  # fail early if it cannot be loaded
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the default handler exits without cleaning up
    with tempfile.TemporaryDirectory(prefix="auvmae-demo-") as folder:
        # Gradio reads them at import
        os.environ |= {"GRADIO_TEMP_DIR": f"{folder}/gradio", "GRADIO_ANALYTICS_ENABLED": "False"}
        gradio = _import_gradio()
        chosen = _gather_examples(examples, Path(folder, "examples"))
        page = build_page(detector, Path(model).name, limits, Path(folder), chosen)
        page.launch(
            share=False,
            server_name=host,
            server_port=port,
            theme=_theme(gradio),
            css=STYLE,
            max_file_size=round(2**20 * limits.megabytes),
            footer_links=[],
            ssr_mode=False,
            quiet=True,  # its banner advertises features that are off here
            prevent_thread_lock=True,
        )
        print(f"the page is at {page.local_url} until you press Ctrl+C", flush=True)  # noqa: T201
        page.block_thread()


def _import_gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise ImportError(f"the page needs the extra `demo`: pip install auvmae[demo] ({error})") from error
    return gradio


def _theme(gradio: Any) -> Any:
    theme = gradio.themes.Default(primary_hue="teal", font=FONTS, font_mono=["ui-monospace", "monospace"])
    return theme.set(
        body_background_fill="*neutral_50",
        block_background_fill="white",
        color_accent="*primary_600",
        # white on the theme's default teal is hard to read
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def _gather_examples(source: str | Path | None, folder: Path) -> list[Path]:
    """Copy the example videos to a folder, since Gradio serves no others."""
    source = EXAMPLES if source is None else source
    videos = sorted(path for path in Path(source).iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise ValueError(f"{source} contains no example video ({', '.join(VIDEO_SUFFIXES)})")
    folder.mkdir()
    return [Path(shutil.copy(video, folder)) for video in videos]

"""Build the page, with the choice of a recording above its results.

The overlay video and the timeline appear side by side.
"""

import tempfile
import traceback
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..inference.detector import AUDetector
from ..video.reading import VIDEO_SUFFIXES
from ..weights import describe_checks
from .analysis import analyse
from .limits import Limits, RefusedError
from .timeline import SCRIPT, STYLE

TITLE = "Facial action units in video"

KEEP_SECONDS, LOOK_SECONDS = 3600, 60
"""Age at which uploads and results are deleted, and the interval of the check. All are deleted when the page stops."""

MAX_WAITING = 8
"""Most visitors that may wait while another is served."""


def _notice(kind: str, text: str) -> str:
    role = "alert" if kind == "error" else "status"
    return f'<div class="notice {kind}" role="{role}">{escape(text)}</div>'


EMPTY = (
    '<div class="notice empty"><b>No result yet</b><p>Choose a recording or an example, and press “Detect action '
    "units”. The video with face boxes and AU bars appears here, next to a timeline of the action units.</p></div>"
)

WORKING = f"() => [{_notice('working', 'Detecting faces and action units')!r}, {{__type__: 'update', visible: false}}]"
"""JavaScript that shows a notice from the click until the result."""

FOOTER = (
    '<p class="small">An action unit is a muscle movement; it does not by itself reveal emotion or intent. Analyse '
    "people only with their consent. Recordings are processed where this page runs, and deleted after an hour.</p>"
)


def build_page(detector: AUDetector, name: str, limits: Limits, folder: Path, examples: Sequence[Path] = ()) -> Any:
    """Lay out the page and connect its events; `serve.serve_page` launches it.

    Args:
        detector: Detector that predicts the recordings.
        name: Name of the model.
        limits: Limits for recordings.
        folder: Folder for the results, other than GRADIO_TEMP_DIR, from which Gradio serves copies.
        examples: Example recordings.

    Returns:
        The page, a `gradio.Blocks`.
    """
    import gradio
    from gradio.processing_utils import save_file_to_cache

    hidden = [gradio.update(visible=False), None, None, None]

    def detect(video: str | None, progress: Any = gradio.Progress()) -> Iterator[list[Any]]:  # noqa: B008
        # Gradio copies the files when they are yielded; they are deleted when it resumes or closes the generator
        with tempfile.TemporaryDirectory(dir=folder) as results:
            try:
                if video is None:
                    raise RefusedError("Choose a recording first: your own video, or an example.")
                if not Path(video).exists():
                    raise RefusedError(
                        f"{Path(video).name} was deleted, like all uploads after a while. Choose it again."
                    )
                result = analyse(detector, Path(video), Path(results), limits, progress)
                shown = [gradio.update(visible=True), str(result.overlay), result.timeline, str(result.table)]
                yield [_notice("done", f"{Path(video).name}: {result.summary}"), *shown]
            except RefusedError as error:
                yield [_notice("error", str(error)), *hidden]
            except Exception:
                traceback.print_exc()
                yield [
                    _notice("error", "This recording could not be analysed. See the server log for the reason."),
                    *hidden,
                ]

    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(LOOK_SECONDS, KEEP_SECONDS)) as page:
        gradio.HTML(_header(name, detector), elem_id="header")
        with gradio.Row(equal_height=True):
            with gradio.Column(scale=3, min_width=300):
                video = gradio.File(label="Recording", file_types=list(VIDEO_SUFFIXES), height=170, elem_id="recording")
                _refuse_addresses(video)
            with gradio.Column(scale=2, min_width=300):
                if examples:
                    labels = [example.stem.replace("_", " ") for example in examples]
                    gradio.Examples(list(map(str, examples)), video, label="Examples", example_labels=labels)
                    for example in examples:  # otherwise they are deleted with the uploads
                        video.keep_in_cache.add(save_file_to_cache(example, video.GRADIO_CACHE))
                button = gradio.Button("Detect action units", variant="primary", elem_id="detect")
                gradio.HTML(f'<p class="small">{_describe(limits)}</p>')
        notice = gradio.HTML(EMPTY, elem_id="notice")
        with gradio.Column(visible=False) as result, gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                overlay = gradio.Video(
                    label="Overlay", show_label=False, interactive=False, buttons=["download"], elem_id="overlay"
                )
                table = gradio.DownloadButton("Download the table (CSV)", elem_id="table")
            with gradio.Column(scale=3, min_width=300):
                timeline = gradio.HTML(css_template=STYLE, js_on_load=SCRIPT, elem_id="timeline")
        gradio.HTML(FOOTER)
        outputs = [notice, result, overlay, timeline, table]
        private: dict[str, Any] = {"api_visibility": "private"}
        # shown by the browser at once, until `detect` yields
        button.click(None, None, [notice, result], js=WORKING, **private)
        button.click(detect, video, outputs, concurrency_limit=1, show_progress_on=notice, **private)
        video.clear(lambda: [EMPTY, *hidden], None, outputs, queue=False, **private)
    page.queue(max_size=MAX_WAITING)
    return page


def _refuse_addresses(component: Any) -> None:
    """Make a file component accept only uploads, since Gradio downloads any URL."""
    import gradio

    move = component.async_move_resource_to_block_cache

    async def move_local(path: Any) -> str | None:
        if "://" in str(path):
            raise gradio.Error("This page accepts only uploaded files.")
        return await move(path)

    component.async_move_resource_to_block_cache = move_local


def _header(name: str, detector: AUDetector) -> str:
    count = len(detector.au_names)
    checks = f" {describe_checks(detector.au_checks)}" if detector.au_checks else ""
    text = f"{name} detects {count} action unit{'s' * (count > 1)} in every frame.{checks}"
    return f"<h1>{TITLE}</h1><p>{escape(text)}</p>"


def _describe(limits: Limits) -> str:
    suffixes = ", ".join(suffix.lstrip(".").upper() for suffix in VIDEO_SUFFIXES)
    return f"Videos of up to {limits.seconds:g} s and {limits.megabytes:g} MB ({suffixes})."

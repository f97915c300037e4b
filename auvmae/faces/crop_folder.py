"""Crop the faces of a folder of videos in parallel, and write a report."""

import json
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from tqdm.auto import tqdm

from ..system.cpus import default_processes
from ..system.endings import ends_run
from ..system.files import check_writable, replacing
from ..system.folder_report import VideoResult, add_to_report, save_report
from ..system.leftovers import remove_leftovers
from ..system.ranks import ALONE, Split
from ..system.workers import end_with_parent
from ..video.finding import LeftOut, find_videos, own_outputs
from ..video.reading import VIDEO_SUFFIXES
from .crop import CropRecipe
from .crop_files import crop_video, finished_counts, remove_crop
from .detection import FaceDetector, load_detector

CROP_SUFFIXES = (".mp4", ".faces.csv", ".faces.json")
RECIPE_FILE = "crop_recipe.json"
REPORT_FILE = "crop_report.json"


def crop_folder(
    source: str | Path,
    output: str | Path,
    recipe: CropRecipe,
    num_proc: int | None = None,
    make_detector: Callable[[], FaceDetector] | None = None,
    split: Split = ALONE,
    threads: int = 1,
) -> list[VideoResult]:
    """Crop every video under a folder into the same folder structure.

    `A/B.avi` gives `A/B.mp4`, and the folder of images `F001/T1/` gives `F001/T1.mp4`; of two videos `A/B`, the second
    gives `A/B.webm.mp4`. `crop_files` describes the files that belong to a crop. A video that is already cropped is
    skipped if neither the recipe nor the video has changed. A video that fails is reported and does not stop the
    others, except on a full disk. The output folder also contains the recipe, `crop_recipe.json`, and the results of
    the latest run, `crop_report.json`.

    Args:
        source: Folder, searched recursively (except hidden files and `output`), or a single video.
        output: Output folder, created if it does not exist. Nothing is written outside it.
        recipe: Settings of the crops.
        num_proc: Number of processes; by default one per CPU that may be used.
        make_detector: Builds a detector that replaces the one named in the recipe. It is called in each process, so it
            must be picklable.
        split: Which of the videos to crop. The others are left to other processes, which write to the same report.
        threads: Threads of OpenCV in each process.

    Returns:
        One result per video that this process crops, sorted by source.

    Raises:
        FileNotFoundError: There is no video under `source`.
        ValueError: `source` and `output` are the same folder, or the recipe names an unknown detector.
        ImportError: A dependency of the detector is not installed.
    """
    source, output = Path(source), Path(output)
    if source.resolve() == output.resolve():
        raise ValueError(f"cannot write the crops of {source} into {source} itself. Choose another output folder")
    make_detector = make_detector or partial(load_detector, recipe.detector, recipe.min_face)
    make_detector()  # a detector that cannot be built fails here once, not once per video
    left_out: list[LeftOut] = []
    found = own_outputs(find_videos(source, output, left_out), CROP_SUFFIXES)
    every = [(video, folder / f"{name}.mp4") for video, folder, name in found]
    if not every:
        kinds = ", ".join(VIDEO_SUFFIXES)
        raise FileNotFoundError(f"no video under {source}: expected files ({kinds}) or folders of numbered images")
    check_writable(output)
    save, videos = partial(save_report, output / REPORT_FILE), every
    if split.world > 1:
        outputs = [str(crop) for _, crop in sorted(every, key=lambda one: str(one[0]))]
        save, videos = partial(add_to_report, output / REPORT_FILE, outputs), split.share(every, "videos")
        save([], left_out, recipe=recipe.to_dict())  # fails early if files cannot be locked
    for folder in {output, *(crop.parent for _, crop in videos)}:
        remove_leftovers(folder)
    with replacing(output / RECIPE_FILE) as file:
        json.dump(recipe.to_dict(), file, indent=1)
    results, pending = _select_pending(videos, output, recipe)
    crop_one = partial(_crop_one, recipe=recipe, make_detector=make_detector)
    if len(every) == len(pending) == 1:  # a separate process would protect no other video
        results.append(crop_one(*pending[0], progress=True))
    elif pending:
        num_proc = min(num_proc or default_processes(), len(pending))
        results.extend(tqdm(_in_processes(crop_one, pending, num_proc, threads), "crop", len(pending), unit="video"))
    results.sort(key=lambda result: result.source)
    save(results, left_out, recipe=recipe.to_dict())
    return results


def _select_pending(
    videos: list[tuple[Path, Path]], output: Path, recipe: CropRecipe
) -> tuple[list[VideoResult], list[tuple[Path, Path]]]:
    """Separate finished and refused videos from those left to crop."""
    results: list[VideoResult] = []
    pending: list[tuple[Path, Path]] = []
    for video, crop in videos:
        if not crop.parent.resolve().is_relative_to(output.resolve()):
            results.append(_failed(video, crop, "a link leads out of the output folder"))
            continue
        try:
            counts = finished_counts(video, crop, recipe)
        except OSError as error:  # a name too long, a folder without permission, a video that is gone
            results.append(_failed(video, crop, f"{type(error).__name__}: {error}"))
            continue
        if counts:
            results.append(VideoResult(str(video), str(crop), "skipped", "", *counts))
        else:
            pending.append((video, crop))
    return results, pending


def _crop_one(
    video: Path, crop: Path, recipe: CropRecipe, make_detector: Callable[[], FaceDetector], progress: bool = False
) -> VideoResult:
    try:
        counts = crop_video(video, crop, recipe, make_detector(), progress)
    except Exception as error:  # an error in one video must not stop the others
        if ends_run(error):
            raise
        return _failed(video, crop, f"{type(error).__name__}: {error}")
    return VideoResult(str(video), str(crop), "done", "", *counts)


def _failed(video: Path, crop: Path, reason: str) -> VideoResult:
    return VideoResult(str(video), str(crop), "failed", reason)


def _in_processes(
    crop_one: Callable[[Path, Path], VideoResult], videos: list[tuple[Path, Path]], num_proc: int, threads: int
) -> Iterator[VideoResult]:
    """Yield the results of `crop_one` as they complete.

    A process that dies loses only its current video.
    """
    # decoders and OpenCV hang or crash in forks of a process that has used them; the fork server has not used them
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload([__name__])
    pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()

    def run(video: Path, crop: Path) -> VideoResult:
        pool = pools.get()
        try:
            return pool.submit(crop_one, video, crop).result()
        except BrokenProcessPool:
            pool = ProcessPoolExecutor(1, context, _start_process, (threads,))
            remove_crop(crop)
            return _failed(video, crop, "its process died (out of memory, or a crash in the decoder)")
        finally:
            pools.put(pool)

    others = set(multiprocessing.active_children())
    with ThreadPoolExecutor(num_proc) as waiting:
        for _ in range(num_proc):
            pools.put(ProcessPoolExecutor(1, context, _start_process, (threads,)))
        try:
            for future in as_completed([waiting.submit(run, *video) for video in videos]):
                yield future.result()
        except BaseException:  # interrupted, or the disk is full: the other videos need not be finished
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            waiting.shutdown(cancel_futures=True)
            while not pools.empty():
                pools.get().shutdown()


def _start_process(threads: int) -> None:
    import cv2

    cv2.setNumThreads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches them, too, and their parent ends them
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that unfinished files are removed
    end_with_parent()

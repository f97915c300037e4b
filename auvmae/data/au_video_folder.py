"""A user's own coded recordings: a folder of videos and one table of labels."""

import csv
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path, PurePosixPath

import numpy as np
from transformers.utils import logging

from ..knowledge.facs import NOT_CODED, au_label
from ..video.reading import VIDEO_SUFFIXES
from .builder import AUClipBuilder, AUClipConfig, Recording
from .clips import find_rare_aus
from .files import LabelError, find_videos, frame_numbers
from .folds import k_fold_subjects

logger = logging.get_logger(__name__)

AU_NAME = re.compile(r"(?:AU)?\s*0*([1-9]\d{0,2})", re.IGNORECASE)
FRAME = re.compile(r"(\d{1,9})(?:\.0*)?")  # tables that once held a missing number write whole ones as 12.0
LISTED = 5


@dataclass
class AUVideoFolderConfig(AUClipConfig):
    """How a folder of coded recordings is read, beside the options of every data set of coded video.

    Args:
        label_file: the table of labels, under `data_dir`.
        intensity_threshold: read the values as intensities, 0 to 5, active from this one on; by default they are
            occurrences, 0 or 1.
        frame_offset: index in the video of frame f of the table, less f: 0 if the table counts from 0, -1 if it counts
            from 1. In a folder of images the index is the number in the image's name.
        num_folds: number of folds into which the subjects are dealt.
        rare_aus: numbers of the AUs that `rare_au_clips` adds clips of. By default those whose label weight (Eq. 2) on
            the training side is above 1, a rule that gives the paper's lists on the first folds of BP4D and DISFA.
    """

    label_file: str = "labels.csv"
    intensity_threshold: float | None = None
    frame_offset: int = 0
    num_folds: int = 3
    rare_aus: Sequence[int] | None = None


@dataclass
class _Cells:
    """The cells of one video's rows, one entry per frame and AU, in the order of the table."""

    subject: str | None
    frames: array = field(default_factory=lambda: array("q"))
    columns: array = field(default_factory=lambda: array("q"))
    values: array = field(default_factory=lambda: array("q"))
    lines: array = field(default_factory=lambda: array("q"))


class AUVideoFolder(AUClipBuilder):
    """Coded recordings of one's own: videos in any folders, and a `labels.csv` that says which AUs are active when.

    * The table is wide, with the columns `video`, `frame` and one per AU (`AU1`, `AU12`, ...), or long, with the
      columns `video`, `frame`, `au` (`AU12` or `12`) and `value`. Separated by commas, semicolons or tabs; UTF-8; rows
      in any order; other columns are not read.
    * `video` is the name of a file or image folder, with or without the folders it lies in and its suffix.
    * `frame` counts from 0; see `frame_offset`. A value is 1 (active) or 0; see `intensity_threshold`. An empty cell
      and a frame that is not listed are not coded (-100). A video counts from its first listed frame to its last.
    * An optional column `subject` names the person; without it every video counts as another person. Subjects are
      dealt into folds in sorted order (`k_fold_subjects`).
    * The AUs are those that the table names, in numeric order.
    """

    BUILDER_CONFIG_CLASS = AUVideoFolderConfig

    config: AUVideoFolderConfig
    expected_tree = """
    data_dir/
        labels.csv                     (video,frame,AU1,AU12,... or video,frame,au,value; subject may be added)
        any/folders/monday.mp4         (a video file)
        any/folders/tuesday/1.png      (or a folder of images named by their number)
    """

    def find_recordings(self) -> list[Recording]:
        """Read the table and list the videos in it; see the base class.

        Raises:
            DatasetLayoutError: there is no table, or a video in it is not there.
            LabelError: the table cannot be read; names the line and what is found there.
        """
        self.table = self.root / self.config.label_file
        if not self.table.is_file():
            raise self.layout_error(f"{self.config.label_file} is missing.", self.root)
        self.videos = find_videos(self.video_root)
        aus, cells = self._read_table()
        self.aus = tuple(sorted(aus))
        order = np.argsort(np.argsort(aus))  # column of the table -> column of the labels
        self.codes = {video: self._order_cells(cells[video], order) for video in sorted(cells)}
        self.recordings = [
            Recording(video, (self.table,), cells[video].subject or self._own_name(video)) for video in self.codes
        ]
        training = self.fold_subjects("train")
        self.rare_aus = self._find_rare_aus([one.video for one in self.recordings if one.subject in training])
        return self.recordings

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """The labels from the first frame listed to the last that the video has; see the base class."""
        (path,) = recording.label_files
        frames, codes = self.codes[recording.video]
        numbers = frame_numbers(recording.video)
        inside = frames <= numbers[-1]
        if not inside.all():
            logger.warning(
                f"{path} codes {np.sum(~inside)} frames past the end of {recording.video}, which ends with frame "
                f"{numbers[-1]}: they are left out. If the table counts from 1, set frame_offset=-1."
            )
        wanted = np.arange(frames[0], frames[inside][-1] + 1 if inside.any() else frames[0] + 1)
        absent = wanted[~np.isin(wanted, numbers)]
        if len(absent):
            remedy = f"{recording.video} holds {numbers[0]} to {numbers[-1]}, or not all between; see frame_offset."
            raise LabelError.at(path, None, f"labels from frame {frames[0]} on, and no frame {absent[0]}", remedy)
        labels = np.full((len(wanted), len(self.aus)), NOT_CODED, np.int8)
        labels[frames[inside] - frames[0]] = codes[inside]
        first = wanted[0] if recording.video.is_dir() else np.searchsorted(numbers, wanted[0])
        return int(first), labels

    def deal_subjects(self, split: str) -> set[str]:
        """The subjects of one side of the fold; see `k_fold_subjects`."""
        config = self.config
        return k_fold_subjects(self.subjects, config.fold, split, config.num_folds, config.repetition)

    def _find_rare_aus(self, videos: list[Path]) -> tuple[int, ...]:
        if self.config.rare_aus is not None:
            if unknown := [au_label(au) for au in self.config.rare_aus if au not in self.aus]:
                coded = ", ".join(map(au_label, self.aus))
                raise ValueError(f"rare_aus names {', '.join(unknown)}, but {self.table} codes {coded}")
            return tuple(self.config.rare_aus)
        return tuple(self.aus[column] for column in find_rare_aus([self.codes[video][1] for video in videos]))

    def _warn_of_gaps(self) -> None:
        uncoded = [str(video) for video in self.videos if video not in self.codes]
        if uncoded:
            names = ", ".join(uncoded[:LISTED]) + (", ..." if len(uncoded) > LISTED else "")
            logger.warning(f"{len(uncoded)} videos are not in {self.table} and left out: {names}")

    def _read_table(self) -> tuple[list[int], dict[Path, _Cells]]:
        """The AUs in the order of the columns of the cells, and the cells of each video."""
        lines = self._lines()
        _, header = next(lines, (1, []))
        places, columns = self._read_header(header)
        aus = list(columns.values())
        cells: dict[Path, _Cells] = {}
        paths: dict[str, Path] = {}
        codes = {"": NOT_CODED}
        names = self._names()
        for number, row in lines:
            if len(row) != len(header):
                raise LabelError.at(self.table, number, f"{len(row)} cells", f"There must be {len(header)}.")
            name = row[places["video"]]
            if name not in paths:
                paths[name] = self._find_video(name, names, number)
            subject = row[places["subject"]] if "subject" in places else None
            video = cells.setdefault(paths[name], _Cells(subject))
            if subject == "" or subject != video.subject:
                remedy = f"A video is of one subject; {name!r} began with {video.subject!r}."
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
                if cell not in codes:
                    codes[cell] = self._code(cell, number)
                video.frames.append(frame)
                video.columns.append(column)
                video.values.append(codes[cell])
                video.lines.append(number)
        if not cells:
            raise LabelError.at(self.table, None, "no label", "There must be one line per coded frame.")
        return aus, cells

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """The lines of the table that are not empty, by number."""
        try:
            text = self.table.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            found = f"the byte {error.object[error.start]:#x}"
            raise LabelError.at(self.table, None, found, "Save the table as UTF-8 (in Excel: CSV UTF-8).") from None
        lines = csv.reader(StringIO(text, newline=""), delimiter=max(",;\t", key=text.partition("\n")[0].count))
        for line in lines:
            row = [cell.strip() for cell in line]
            if any(row):
                yield lines.line_num, row

    def _read_header(self, header: list[str]) -> tuple[dict[str, int], dict[int, int]]:
        """Where the columns with a name of ours are, and of a wide table the AU in each place."""
        places = {name.lower(): place for place, name in reversed(list(enumerate(header)))}
        places = {name: places[name] for name in ("video", "frame", "subject", "au", "value") if name in places}
        columns = {place: int(match[1]) for place, name in enumerate(header) if (match := AU_NAME.fullmatch(name))}
        long = {"au", "value"} <= places.keys()
        if not {"video", "frame"} <= places.keys() or long == bool(columns):
            remedy = "There must be video, frame and either one column per AU (AU1, AU12, ...) or both au and value."
            raise LabelError.at(self.table, 1, f"the columns {', '.join(header) or '(none)'}", remedy)
        if len(set(columns.values())) < len(columns):
            raise LabelError.at(self.table, 1, "two columns of one AU", "Each AU has one.")
        unread = [name for place, name in enumerate(header) if place not in {*places.values(), *columns}]
        if unread:
            logger.warning(f"{self.table}: the columns {', '.join(unread)} are not read.")
        return places, columns

    def _names(self) -> dict[str, set[Path]]:
        """The videos by everything they may be called: the ends of their paths, with and without suffix."""
        names: dict[str, set[Path]] = defaultdict(set)
        for video in self.videos:
            for path in {self._relative(video), self._own_name(video)}:
                parts = path.split("/")
                for start in range(len(parts)):
                    names["/".join(parts[start:])].add(video)
        return names

    def _find_video(self, name: str, names: dict[str, set[Path]], line: int) -> Path:
        path = PurePosixPath(name.replace("\\", "/"))
        # a face crop is an MP4, whatever its source was
        plain = path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES else path
        videos = names.get(str(path)) or names.get(str(plain)) or set()
        exact = [video for video in videos if self._relative(video) == str(path)]
        if len(exact) != 1 and len(videos) > 1:
            found = " and ".join(sorted(map(self._relative, videos)))
            raise LabelError.at(self.table, line, f"the video {name!r}, which may be {found}", "Name it by its path.")
        if not videos:
            raise self.layout_error(
                f"line {line} of {self.table} names the video {name!r}, which is not there.", self.video_root
            )
        return exact[0] if exact else next(iter(videos))

    def _relative(self, video: Path) -> str:
        return video.relative_to(self.video_root).as_posix()

    def _own_name(self, video: Path) -> str:
        path = video.relative_to(self.video_root)
        return (path if video.is_dir() else path.with_suffix("")).as_posix()

    def _frame(self, cell: str, line: int) -> int:
        match = FRAME.fullmatch(cell)
        frame = int(match[1]) + self.config.frame_offset if match else -1
        if frame < 0:
            remedy = (
                f"Frames are whole numbers, and not negative once frame_offset={self.config.frame_offset} is added."
            )
            raise LabelError.at(self.table, line, f"the frame {cell!r}", remedy)
        return frame

    def _au(self, cell: str, line: int) -> int:
        match = AU_NAME.fullmatch(cell)
        if not match:
            raise LabelError.at(self.table, line, f"the AU {cell!r}", "AUs are called AU12 or 12.")
        return int(match[1])

    def _code(self, cell: str, line: int) -> int:
        threshold = self.config.intensity_threshold
        try:
            value = float(cell)
        except ValueError:
            value = -1
        if threshold is None and value not in (0, 1):
            remedy = "Values are 0 and 1, and empty where not coded; set intensity_threshold to read intensities."
            raise LabelError.at(self.table, line, f"the value {cell!r}", remedy)
        if not 0 <= value <= 5:
            remedy = "Intensities are 0 to 5, and empty where not coded."
            raise LabelError.at(self.table, line, f"the value {cell!r}", remedy)
        return int(value >= (1 if threshold is None else threshold))

    def _order_cells(self, cells: _Cells, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames listed, int64 (F,) ascending, and their labels, int8 (F, N)."""
        columns = order[np.array(cells.columns)]
        frames, rows = np.unique(np.array(cells.frames), return_inverse=True)
        # stable: of two entries for one place the later line is the one to name
        places = rows * len(order) + columns
        sequence = np.argsort(places, kind="stable")
        again = sequence[1:][np.diff(places[sequence]) == 0]
        if len(again):
            second = again.min()
            first = np.flatnonzero(places == places[second])[0]
            found = f"frame {cells.frames[second] - self.config.frame_offset} of AU{self.aus[columns[second]]} again"
            remedy = f"It stands in line {cells.lines[first]} already: each frame of a video once."
            raise LabelError.at(self.table, cells.lines[second], found, remedy)
        codes = np.full((len(frames), len(order)), NOT_CODED, np.int8)
        codes[rows, columns] = np.array(cells.values)
        return frames, codes

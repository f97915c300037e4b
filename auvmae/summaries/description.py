"""Describe a folder of predictions, with tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
from tqdm.auto import tqdm

from ..inference.formats.tables import FOREIGN, TABLES, UNCALIBRATED, why_not_loaded
from ..inference.prediction import AUPrediction, provenance_path
from ..inference.recordings import PROVENANCE
from ..knowledge.facs import au_column
from ..system.files import read_json_object, replacing, save_json
from .conditions import ConditionComparison, compare_conditions
from .measures import measures_of, sums_of
from .pairs import PairCounts
from .people import Appearance, match_recordings, read_people

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAME = ("weights_sha256", "au_names", "thresholds", "sampling_rate", "mask_ratio", "clip_stride", "dtype", "crop")
"""Provenance that predictions must share, since their numbers could not be compared otherwise."""

WHO = ("person", "condition", "group")
REPORT_FILE = "describe_report.json"


@dataclass(frozen=True)
class Description:
    """Hold the summaries of a folder of predictions.

    Args:
        recordings: Measures per recording, face (-1 for a recording of one person) and action unit, see
            `measures.measures_of`.
        pairs: Counts of pairs of action units by condition; "" for all recordings.
        people: Measures per person, condition, group and action unit; None without a table of people.
        comparison: Two conditions compared within persons; None if there is nothing to compare.
        left_out: Reason by file, prediction or person.
        report: Settings and provenance, in JSON types.
    """

    recordings: pandas.DataFrame
    pairs: dict[str, PairCounts]
    people: pandas.DataFrame | None = None
    comparison: ConditionComparison | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def au_names(self) -> list[str]:
        """Return the action units as in table columns, "AU01"."""
        return self.pairs[""].au_names

    def tables(self) -> dict[str, pandas.DataFrame]:
        """Return the tables by the stem of their files."""
        tables = {"recordings": self.recordings}
        if self.people is not None:
            tables["people"] = self.people
        if self.comparison is not None:
            tables["comparison"] = self.comparison.table
        by_kind: dict[str, list[pandas.DataFrame]] = {"cooccurrence": [], "transitions": []}
        for condition, counts in self.pairs.items():
            for kind, table in zip(by_kind, counts.tables(), strict=True):
                table.insert(0, "condition", condition or "all")
                by_kind[kind].append(table)
        return tables | {kind: pandas.concat(parts, ignore_index=True) for kind, parts in by_kind.items()}

    def figures(self, pairs: Sequence[tuple[str, str]] = ()) -> "dict[str, Figure]":
        """Draw the figures, by the stem of their files.

        Args:
            pairs: Pairs of action units to draw as state machines. The default is the pair with the highest
                co-occurrence.

        Raises:
            ValueError: If an action unit of a pair is not in the predictions.
        """
        from ..plotting.conditions import plot_conditions
        from ..plotting.knowledge import plot_cooccurrence, plot_state_machine

        counts = self.pairs[""]
        panels = {"all recordings": counts.cooccurrence}
        if self.comparison is not None:
            panels |= {condition: self.pairs[condition].cooccurrence for condition in self.comparison.conditions}
        figures = {"cooccurrence": plot_cooccurrence(panels, self.au_names)}
        closest = [counts.closest_pair()] if len(self.au_names) > 1 else []
        for first, second in [(au_column(a), au_column(b)) for a, b in pairs] or closest:
            if first == second or not {first, second} <= {*self.au_names}:
                raise ValueError(f"a pair needs two of {', '.join(self.au_names)}; found {first} and {second}")
            joint = counts.transitions[self.au_names.index(first), self.au_names.index(second)]
            figures[f"transitions_{first}_{second}"] = plot_state_machine(joint, (first, second))
        if self.comparison is not None:
            table = self.comparison.table
            corrected = table.loc[table["measure"] == "share_of_time", "p_holm"].to_numpy()
            figures["comparison"] = plot_conditions(
                self.comparison.shares, self.au_names, corrected, self.comparison.conditions
            )
        return figures

    def save(self, folder: str | Path, pairs: Sequence[tuple[str, str]] = ()) -> list[Path]:
        """Write tables, figures and the report, each atomically, and return their paths.

        Files of an earlier description that this one lacks are removed.

        Raises:
            ValueError: See `figures`.
        """
        from ..plotting.style import save_figure

        folder = Path(folder)
        figures = self.figures(pairs)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, table in self.tables().items():
            with replacing(folder / f"{name}.csv") as file:
                table.round(6).to_csv(file, index=False, lineterminator="\n")
            written.append(folder / f"{name}.csv")
        written += [save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()]
        files = [path.name for path in written]
        for name in set(read_json_object(folder / REPORT_FILE).get("files", [])) - set(files):
            (folder / name).unlink(missing_ok=True)
        return [*written, save_json(self.report | {"left_out": self.left_out, "files": files}, folder / REPORT_FILE)]


def describe_folder(
    folder: str | Path,
    people: str | Path | None = None,
    conditions: tuple[str, str] | None = None,
    progress: bool = False,
) -> Description:
    """Describe the predictions that `auvmae predict` wrote to a folder.

    Args:
        folder: Folder, searched recursively.
        people: Table of people, see `read_people`. Without it, there are no measures per person.
        conditions: Conditions to compare. The default is those of the table, if there are exactly two.
        progress: Show a progress bar.

    Raises:
        FileNotFoundError: If the folder holds no prediction.
        ValueError: If predictions come from different models or settings, the table of people is wrong, or two
            conditions cannot be compared.
    """
    appearances = read_people(people) if people is not None else None
    if conditions is not None and appearances is None:
        raise ValueError("a comparison of conditions needs a table of people")
    tables, left_out = find_tables(folder)
    matched: dict[str, list[Appearance]] = {}
    if appearances is not None:
        matched, unmatched = match_recordings(appearances, {key: _source(path) for key, path in tables.items()})
        left_out |= unmatched
    sums: list[pandas.DataFrame] = []
    pairs: dict[str, PairCounts] = {}
    example: tuple[Path, dict[str, Any]] | None = None
    for key, path in tqdm(tables.items(), "describe", unit="recording", disable=not progress, leave=False):
        if appearances is not None and key not in matched:
            continue
        prediction = AUPrediction.load(path)
        example = example or (path, prediction.provenance)
        _check_same(example, (path, prediction.provenance))
        try:
            faces, own = _faces(prediction, matched.get(key)), sums_of(prediction)
            for face, who in faces.items():
                sums.append(own[own["face"] == face].assign(recording=key, **who))
                counts = PairCounts.of(prediction, None if face < 0 else face)
                for condition in dict.fromkeys(("", who.get("condition", ""))):
                    pairs[condition] = pairs[condition] + counts if condition in pairs else counts
        except ValueError as error:
            left_out[key] = str(error)
    if example is None or not sums:
        reasons = "".join(f"\n{name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no prediction in {folder} can be described{reasons}")
    every = pandas.concat(sums, ignore_index=True)
    per_person = comparison = None
    if appearances is not None:
        per_person = measures_of(every, [*WHO])
        found = tuple(dict.fromkeys(per_person["condition"]))
        if conditions or len(found) == 2:
            # a person counts once, whatever the groups
            by_condition = measures_of(every, ["person", "condition"])
            comparison = compare_conditions(by_condition, *(conditions or found))
            left_out |= comparison.left_out
    report = {
        "folder": str(folder),
        "people": people and str(people),
        "conditions": comparison and list(comparison.conditions),
        "recordings": sorted(every["recording"].unique()),
        "provenance": {name: example[1].get(name) for name in (*SAME, "model", "au_checks", "versions")},
    }
    own_keys = ["recording", "face", *(WHO if appearances is not None else ())]
    return Description(measures_of(every, own_keys), pairs, per_person, comparison, left_out, report)


def find_tables(folder: str | Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the tables of predictions in a folder.

    Returns:
        Paths by name: the path below the folder, without suffix. Also by name, why recordings have no such table.

    Raises:
        FileNotFoundError: If there is none.
    """
    folder = Path(folder)
    found, left_out = {}, {}
    for mark in sorted(folder.rglob(f"*{PROVENANCE}")):
        stem = mark.name.removesuffix(PROVENANCE)
        key = mark.with_name(stem).relative_to(folder).as_posix()
        for name, suffix in TABLES.items():
            table = mark.with_name(stem + suffix)
            if table.is_file() and name not in (*FOREIGN, UNCALIBRATED):
                found[key] = table
            elif table.is_file() and key not in found:
                left_out[key] = why_not_loaded(table)
    if not found:
        what = "is no folder" if not folder.is_dir() else "holds no prediction (X.csv beside X.provenance.json)"
        reasons = "".join(f"\n{reason}" for reason in left_out.values())
        raise FileNotFoundError(f"{folder} {what}. Write predictions with `auvmae predict VIDEOS -o {folder}`{reasons}")
    return found, left_out


def _source(table: Path) -> str:
    """Return the file name of the recording, or "" if the provenance is damaged."""
    source = read_json_object(provenance_path(table)).get("source")
    return str(source.get("name", "")) if isinstance(source, dict) else ""


def _check_same(example: tuple[Path, dict[str, Any]], other: tuple[Path, dict[str, Any]]) -> None:
    for name in SAME:
        if example[1].get(name) != other[1].get(name):
            raise ValueError(
                f"{example[0]} and {other[0]} differ in {name} ({example[1].get(name)} and {other[1].get(name)}), so "
                "their numbers cannot be compared. Predict all recordings with the same model and options"
            )


def _faces(prediction: AUPrediction, appearances: Sequence[Appearance] | None) -> dict[int, dict[str, str]]:
    """Return what the table of people says of each face.

    Face -1 is the only person of a recording.

    Raises:
        ValueError: If the table does not say who is who, or names a face that is not there.
    """
    several = bool(prediction.provenance.get("every_face"))
    faces: list[int] = np.unique(prediction.rows["face_id"][prediction.success]).tolist()
    if not faces:
        raise ValueError("no frame shows a face")
    if appearances is None:
        return {face: {} for face in (faces if several else [-1])}
    found = {}
    for one in appearances:
        if one.face is not None and not several:
            raise ValueError("was predicted without --every-face, so its column face must be empty")
        if one.face is None and several and len(faces) > 1:
            raise ValueError(f"shows {len(faces)} faces; the table of people needs their face_id in a column face")
        face = (faces[0] if several else -1) if one.face is None else one.face
        if one.face is not None and face not in faces:
            raise ValueError(f"has no face {face}; its faces are {', '.join(map(str, faces))}")
        found[face] = {name: getattr(one, name) for name in WHO}
    return found

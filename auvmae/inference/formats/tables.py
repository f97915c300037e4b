"""Name the formats of a prediction's table, and write it in one of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...system.files import whole_file
from .openface import openface_table
from .pyfeat import fex_table

if TYPE_CHECKING:
    import pandas

UNCALIBRATED = "uncalibrated"
"""Format of a table that waits for the baseline of its person, see `people.predict_people`."""

TABLES = {
    **{"csv": ".csv", "parquet": ".parquet", "openface": ".openface.csv", "feat": ".feat.csv"},
    UNCALIBRATED: ".uncalibrated.csv",
}
"""Formats of a table, and the suffixes of their files in a folder of predictions."""

FOREIGN = ("openface", "feat")
"""Formats for other programs. They lack part of a prediction, so `AUPrediction.load` does not read them."""


def write_table(
    path: Path, name: str, table: "pandas.DataFrame", au_names: Sequence[str], provenance: Mapping[str, Any]
) -> None:
    """Write a table atomically.

    Args:
        path: Path of the table; its folder is created.
        name: Format, a key of `TABLES`.
        table: Result of `AUPrediction.to_dataframe`.
        au_names, provenance: Those of the prediction.

    Raises:
        ValueError: If there is no such format.
    """
    if name not in TABLES:
        known = ", ".join(one for one in TABLES if one != UNCALIBRATED)
        raise ValueError(f"a prediction is saved as {known}, not as {path.name}")
    if name == "openface":
        table = openface_table(table, au_names)
    elif name == "feat":
        table = fex_table(table, au_names, provenance["source"]["name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        if name == "parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def why_not_loaded(path: Path) -> str:
    """Explain why an unfinished table, or one for other programs, is not loaded.

    It is "" for all others.
    """
    if path.name.endswith(TABLES[UNCALIBRATED]):
        return f"{path} waits for the baseline of its person: run `auvmae predict --neutral-from` again"
    for name in FOREIGN:
        if path.name.endswith(TABLES[name]):
            return f"{path} was written for other programs (--format {name}): predict again with --format csv"
    return ""

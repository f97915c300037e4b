"""Read predictions with the readers of other programs.

    auvmae predict VIDEO -o OUT/csv --events
    auvmae predict VIDEO -o OUT/parquet --format parquet
    auvmae predict VIDEO -o OUT/openface --format openface
    auvmae predict VIDEO -o OUT/feat --format feat
    python benchmarks/readers.py OUT VIDEO

A line is printed per reader. Readers that the environment lacks are left out, so run it in one environment per reader.
pandas is always needed, and our package for `to_fex`. "equal" means that the values are those that pandas reads from
X.csv.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas

Check = tuple[str, Callable[[], Any]]


def main(out: Path, video: Path) -> None:
    """Run every reader that is installed."""
    table = pandas.read_csv(out / "csv" / f"{video.stem}.csv")
    for module, package, checks in (
        ("pandas", "pandas", read_by_pandas),
        ("polars", "polars", read_by_polars),
        ("pympi", "pympi-ling", read_by_pympi),
        ("feat", "py-feat", read_by_pyfeat),
    ):
        try:
            importlib.import_module(module)
        except ImportError:
            continue
        for name, check in checks(out, video, table):
            try:
                result = check()
                said = "unequal" if result is False else "equal" if result is True else f"ok {result}"
            except Exception as error:
                said = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
            print(f"{package} {version(package)} | {name} | {said}")


def same(found: Any, table: pandas.DataFrame, names: list[str]) -> bool:
    """Tell whether columns are those of our table, in frames with a face."""
    seen = (table["success"] == 1).to_numpy()
    pandas.testing.assert_frame_equal(
        pandas.DataFrame(found).reset_index(drop=True).loc[seen, names].astype(float),
        table.loc[seen, names].astype(float),
    )
    return True


def read_by_pandas(out: Path, video: Path, table: pandas.DataFrame) -> Iterator[Check]:
    """Read the Parquet file, and the OpenFace file with and without the space."""
    path, aus = out / "openface" / f"{video.stem}.openface.csv", [name for name in table if name.endswith(("_r", "_c"))]
    yield "X.parquet", lambda: same(pandas.read_parquet(out / "parquet" / f"{video.stem}.parquet"), table, [*table])
    yield "X.openface.csv, names stripped", lambda: same(pandas.read_csv(path).rename(columns=str.strip), table, aus)
    yield "X.openface.csv, ' face_id'", lambda: pandas.read_csv(path)[[" face_id", " AU12_r", " AU12_c"]].shape
    yield "X.openface.csv, 'face_id'", lambda: pandas.read_csv(path)[["face_id", "AU12_r", "AU12_c"]].shape
    yield "X.csv, 'face_id'", lambda: table[["face_id", "AU12_r", "AU12_c"]].shape


def read_by_polars(out: Path, video: Path, table: pandas.DataFrame) -> Iterator[Check]:
    """Read the Parquet file and both CSV files."""
    import polars

    path = out / "parquet" / f"{video.stem}.parquet"
    yield "X.parquet", lambda: same(polars.read_parquet(path).to_dict(as_series=False), table, [*table])
    for kind in ("csv", "openface.csv", "feat.csv"):
        path = out / kind.removesuffix(".csv") / f"{video.stem}.{kind}"
        yield f"X.{kind}", lambda path=path: polars.read_csv(path).shape  # type: ignore[misc]


def read_by_pympi(out: Path, video: Path, table: pandas.DataFrame) -> Iterator[Check]:
    """Read the events from the ELAN file."""
    from pympi import Elan

    def events() -> bool:
        eaf = Elan.Eaf(str(out / "csv" / f"{video.stem}.eaf"))
        found = [
            (name[:4], *one[:2]) for name in eaf.get_tier_names() for one in eaf.get_annotation_data_for_tier(name)
        ]
        told = pandas.read_csv(out / "csv" / f"{video.stem}.events.csv")
        start = table["timestamp"].iloc[0]
        times = told[["onset", "offset"]].sub(start).mul(1000).round().astype(int)
        return sorted(found) == sorted(zip(told["au"], times["onset"], times["offset"], strict=True))

    yield "X.eaf", events


def read_by_pyfeat(out: Path, video: Path, table: pandas.DataFrame) -> Iterator[Check]:
    """Read the tables with Py-Feat, and run the methods of its `Fex`."""
    import matplotlib

    matplotlib.use("Agg")
    from feat.utils.io import get_test_data_path, read_feat, read_openface

    from auvmae.inference.prediction import AUPrediction

    def methods(name: str, fex: Any) -> Iterator[Check]:
        seen = fex[fex["success" if "success" in fex else "FaceScore"].fillna(0) > 0]
        few = fex.iloc[:: len(fex) // 3 + 1].assign(input=str(video))
        known = [au for au in fex.au_columns if seen[au].notna().all()]
        yield f"{name}.aus", lambda: fex.aus.shape
        yield f"{name}.poses", lambda: fex.poses.shape
        yield f"{name}.faceboxes", lambda: fex.faceboxes.shape
        yield f"{name}.baseline()", lambda: fex.baseline().shape
        yield f"{name}.aus.baseline()", lambda: fex.aus.baseline().shape
        yield f"{name}.extract_summary()", lambda: fex.extract_summary().shape
        yield f"{name}.isc()", lambda: fex.isc(known[0]).shape
        yield f"{name}.regress()", lambda: seen.regress([fex.facepose_columns[3 * ("success" in fex)]], known)[0].shape
        yield f"{name}.plot_detections()", lambda: len(few.plot_detections())
        yield f"{name}.plot_detections(faces='aus')", lambda: len(few.plot_detections(faces="aus"))

    probs = [name for name in table if name.endswith("_p")]
    prediction = AUPrediction.load(out / "csv" / f"{video.stem}.csv")
    fex = prediction.to_fex(str(video))
    yield "to_fex()", lambda: same(fex.rename(columns={name[:-2]: name for name in probs}), table, probs)
    yield from methods("to_fex()", fex)
    read = read_feat(str(out / "feat" / f"{video.stem}.feat.csv"))
    yield "read_feat", lambda: same(read.rename(columns={name[:-2]: name for name in probs}), table, probs)
    yield from methods("read_feat", read)
    own = read_openface(str(out / "openface" / f"{video.stem}.openface.csv"))
    yield "read_openface", lambda: same(own, table, [name for name in table if name.endswith(("_r", "_c"))])
    yield from methods("read_openface", own)
    # what fails here as well is no fault of our tables
    yield from methods("Py-Feat's own table", read_feat(f"{get_test_data_path()}/Feat_Test.csv"))
    yield from methods("OpenFace's own table", read_openface(f"{get_test_data_path()}/OpenFace_Test.csv"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

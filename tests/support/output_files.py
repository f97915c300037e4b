"""Inspect the output of a job over many files."""


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in names(folder) if name != "predict_report.json"}


def statuses(results):
    return [result.status for result in results]

"""Tabulate the outcomes of a campaign."""

import json
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

from .judging import OUTCOMES


def format_table(results: list[dict[str, Any]]) -> str:
    """Format the counts by kind and outcome as a Markdown table."""
    rows = [["kind", *OUTCOMES, "mutants"]]
    for kind in [*sorted({result["kind"] for result in results}), "all"]:
        mine = [result for result in results if kind in (result["kind"], "all")]
        counts = Counter(result["outcome"] for result in mine)
        rows.append([kind, *(str(counts[outcome]) for outcome in OUTCOMES), str(len(mine))])
    rows.insert(1, ["---", *["---:"] * (len(rows[0]) - 1)])
    faults = Counter((result["kind"], result["fault"]) for result in results if result["fault"])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"{count} {fault} in {kind}" for (kind, fault), count in faults.most_common())])


def save_report(results: list[dict[str, Any]], seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"platform": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version()}
    path.write_text(json.dumps({"seed": seed, "machine": machine, "mutants": results}, indent=1))

"""Run the campaign from the command line: `python -m tests.campaign --count 100 --seed 0`."""

import argparse
import sys
from pathlib import Path

from .pool import KINDS, run_campaign
from .report import format_table, save_report


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.campaign", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="number of mutants (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the campaign (default: 0)")
    parser.add_argument("--only", type=int, nargs="+", help="run only these mutants, by their numbers")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="run only the mutants of these kinds")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds until a mutant hangs (default: 120)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/campaign.json"), help="report to write")
    parser.add_argument("--keep", type=Path, help="folder in which inputs and outputs of the mutants are kept")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the mutants, print the table of outcomes, and return 1 if there was a fault."""
    arguments = parse(argv)
    numbers = arguments.only or range(arguments.count)
    results = run_campaign(
        numbers, arguments.seed, arguments.kinds, arguments.workers, arguments.timeout, arguments.keep
    )
    save_report(results, arguments.seed, arguments.output)
    print(format_table(results))
    faults = [result for result in results if result["fault"]]
    for result in faults:
        print(f"{result['number']} {result['kind']}: {result['what']}: {result['fault']}: {result['detail']}")
    print(f"{len(results)} mutants, {len(faults)} faults; report: {arguments.output}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

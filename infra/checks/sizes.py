"""Compares what `sam build` made with the sizes that docs/benchmarks.md records: `sizes.py BUILD_FOLDER`.

A function's zipped size is what a deployment uploads and what a cold start loads. It must be within 5 % of the recorded
one, so that a dependency that makes it grow is noticed when it comes, and the record stays true when it shrinks.
"""

import pathlib
import re
import sys
import zlib

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
# A row of the table "Start, size and memory": a function's binary first, its zipped size last.
ROW = re.compile(r"^\| `(\w+)` \|.*\| ([\d.]+) \|$", re.MULTILINE)
TOLERANCE = 0.05


def recorded(document):
    """The zipped sizes in MB, by function."""
    _, _, section = document.partition("\n## Start, size and memory\n")
    section, _, _ = section.partition("\n## ")
    return {name: float(size) for name, size in ROW.findall(section)}


def zipped(folder, name):
    """The zipped size of a function in a folder of `sam build`, in MB."""
    binary = pathlib.Path(folder) / f"{name.capitalize()}Function" / "bootstrap"
    return len(zlib.compress(binary.read_bytes(), 6)) / 1e6


def main(folder):
    sizes = recorded(DOCUMENT.read_text(encoding="utf-8"))
    functions = {"check", "collect", "deliver", "ingest", "manage"}
    if sizes.keys() != functions:
        sys.exit(f"{DOCUMENT} records the sizes of {sorted(sizes)}, not of {sorted(functions)}")
    wrong = []
    for name, size in sizes.items():
        now = zipped(folder, name)
        print(f"{name}: {now:.2f} MB zipped; recorded {size:.2f}")
        if abs(now - size) > TOLERANCE * size:
            wrong.append(name)
    if wrong:
        sys.exit(f"zipped sizes that differ from the recorded ones by more than 5 %: {', '.join(wrong)}")


if __name__ == "__main__":
    main(sys.argv[1])

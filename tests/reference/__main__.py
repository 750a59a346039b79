"""What is generated: the pages of docs/reference and the pipelines of examples/ci.

`make reference` writes them, and unit tests compare them with the code.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ansible_collections.slipway.go.tests.reference import pages, pipelines

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--page", type=Path, default=FOLDER, help="the folder that the pages are written to")
    folder: Path = parser.parse_args().page
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in pages.PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")
    if folder == FOLDER:
        for name, render in pipelines.FILES.items():
            (pipelines.FOLDER / name).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

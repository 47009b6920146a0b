"""Command line that writes what this version stores: ``python -m tests.stored_formats --write``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from airflow_okta_workflows import __version__
from tests.stored_formats.written import as_text, encrypted_files, json_files


def main() -> int:
    """Write the files of this version, or tell that they are there already."""
    parser = argparse.ArgumentParser(prog="python -m tests.stored_formats", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", required=True, help="write the folder of this version")
    parser.parse_args()
    files = {name: as_text(stored).encode() for name, stored in json_files().items()} | encrypted_files()
    folder = Path(__file__).parent / __version__
    try:
        folder.mkdir()
    except FileExistsError:
        print(f"{folder.name} is written already. What a released version has stored never changes.", file=sys.stderr)
        return 1
    for name, data in files.items():
        (folder / name).write_bytes(data)
    print(f"{folder.name}: {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())

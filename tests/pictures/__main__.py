"""Draw the pictures of the documents again: all of them, or those that are named."""

from __future__ import annotations

import sys

from tests.pictures import FOLDER, PICTURES


def main(names: list[str]) -> None:
    """Draw the pictures of these names, or all."""
    unknown = sorted(set(names) - PICTURES.keys())
    if unknown:
        sys.exit(f"There is no picture {', '.join(unknown)}. The pictures are: {', '.join(PICTURES)}.")
    for name in names or PICTURES:
        path = FOLDER / f"{name}.svg"
        path.write_text(PICTURES[name](), "utf-8")
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write the pages of ``docs/reference``, and take away those that nothing makes any more."""

import sys

from docs.generator.pages import FOLDER, all_pages


def main() -> None:
    """Write what differs, and say what that was."""
    pages = all_pages()
    for path in sorted(FOLDER.rglob("*.md")):
        if path.relative_to(FOLDER).as_posix() not in pages:
            path.unlink()
            sys.stdout.write(f"removed {path}\n")
    for name, text in pages.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")


main()

"""``python -m hrdet_cli`` is ``hrdet``."""

from hrdet_cli.cli.app import main

if __name__ == "__main__":
    main()

"""All pages that are made, by their names in ``docs/reference``."""

from pathlib import Path

from docs.generator.api import api_page
from docs.generator.commands import commands_page
from docs.generator.exit_codes import exit_codes_page
from docs.generator.presets import preset_pages
from docs.generator.spec import spec_page

FOLDER = Path(__file__).parents[1] / "reference"


def all_pages() -> dict[str, str]:
    """The text of every page; the same on every machine."""
    return {
        "api.md": api_page(),
        "commands.md": commands_page(),
        "exit-codes.md": exit_codes_page(),
        "spec.md": spec_page(),
        **preset_pages(),
    }

"""The pages of docs/reference are those of the code, and have all of it."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main

import hrdet_cli as hrdet
from docs.generator import api, pages
from docs.generator.fields import all_fields
from docs.generator.parameters import all_commands
from docs.generator.preset_headers import read_header
from docs.generator.values import written
from hrdet_cli.cli.app import app
from hrdet_cli.specs.known_keys import all_keys, all_sections
from hrdet_cli.specs.presets import all_presets

all_pages = cache(pages.all_pages)


def test_no_page_of_the_reference_is_stale() -> None:
    on_disk = {
        path.relative_to(pages.FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in pages.FOLDER.rglob("*.md")
    }
    stale = [name for name, text in all_pages().items() if on_disk.get(name) != text]
    assert stale == [], "write them anew: make docs-pages"
    assert on_disk.keys() == all_pages().keys(), "nothing makes some of them: make docs-pages"


def parameters_of_typer(command: Any, name: str) -> Iterator[tuple[str, set[str], int]]:
    """Each command with its options and the number of its arguments, as Typer made them."""
    for inner, member in getattr(command, "commands", {}).items():
        yield from parameters_of_typer(member, f"{name} {inner}")
    if not hasattr(command, "commands"):
        shown = [one for one in command.params if not one.hidden]
        options = {option for one in shown for option in one.opts if option.startswith("-")}
        yield name, options, sum(one.param_type_name == "argument" for one in shown)


def test_every_command_has_the_options_and_arguments_that_typer_makes_of_it() -> None:
    ours = []
    for command in all_commands(app, "hrdet"):
        names = {name for one in command.parameters for name in one.names}
        ours.append((command.name, names, sum(not one.is_option for one in command.parameters)))
    theirs = list(parameters_of_typer(typer.main.get_command(app), "hrdet"))
    assert sorted(ours) == sorted(theirs)
    assert len(ours) > 10


def test_every_key_of_a_spec_is_a_field_of_the_page() -> None:
    outside_lists = {name for name in all_fields() if "[]" not in name}
    assert outside_lists == {*all_keys(), *all_sections()}


def test_a_key_that_is_not_the_same_in_all_kinds_says_what_it_needs() -> None:
    fields = all_fields()
    assert [one.needs for one in fields["optimisation.num_epochs"].variants] == [{}]
    assert [one.needs for one in fields["augmentation.crop_pixels"].variants] == [
        {"augmentation.kind": ["resize-crop"]}
    ]
    norms = {repr(one.field.get_default()): one.needs for one in fields["model.head.norm"].variants}
    assert norms == {"None": {"model.head.kind": ["retinanet"]}, "'group'": {"model.head.kind": ["fcos"]}}


def test_every_preset_has_its_section() -> None:
    pages_of_kinds = "\n".join(text for name, text in all_pages().items() if name.startswith("presets/"))
    assert [name for name in all_presets() if f"\n## `{name}`\n" not in pages_of_kinds] == []


def test_a_header_is_read_in_its_parts() -> None:
    header = read_header(
        "# Faster R-CNN, for a\n# test.\n# Launch: hrdet train \\\n#             --preset x   (8 GPUs)\n"
        "#   longer: --set a.b=1\n# Weights: w.pth;\n#         or none.\n# Not here: take a.b=2.\nname: x\n"
    )
    assert header.summary == "Faster R-CNN, for a test."
    assert header.launch == "hrdet train \\\n    --preset x    # 8 GPUs"
    assert header.changes == ["longer: `--set a.b=1`"]
    assert header.remarks == ["Weights: w.pth; or none.", "Not here: take `a.b=2`."]


def test_values_are_written_as_a_spec_has_them() -> None:
    assert written({"kind": "l1", "beta": None, "at": [True, 1.5, [8, 11]]}) == (
        "{kind: l1, beta: null, at: [true, 1.5, [8, 11]]}"
    )


def test_the_page_of_the_python_interface_has_every_public_name_once() -> None:
    names = [name for names in api.SECTIONS.values() for name in names]
    assert sorted([*names, "__version__"]) == sorted(hrdet.__all__)

"""The pages of docs/reference are those of the code, and have all of it."""

from functools import cache

from docs.generator import pages
from docs.generator.fields import all_fields
from docs.generator.preset_headers import read_header
from hrdet_cli.specs.known_keys import all_keys, all_sections
from hrdet_cli.specs.presets import all_presets

all_pages = cache(pages.all_pages)


def test_no_page_of_the_reference_is_stale() -> None:
    """`make docs-pages` writes them anew."""
    written = {
        path.relative_to(pages.FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in pages.FOLDER.rglob("*.md")
    }
    stale = [name for name, text in all_pages().items() if written.get(name) != text]
    assert stale == []
    assert written.keys() == all_pages().keys()


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

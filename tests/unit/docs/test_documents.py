"""What the tests of pages take out of a page."""

from pathlib import Path

from tests.documents import Document, command_words, read_document

TEXT = """# A page

See [there](other.md#a-place), `code with [no](link.md)` and ![a picture](a.png).

## A `key`: its *use*
## Twice
## Twice

| theirs | ours |
| --- | --- |
| `model.other` | `model.weights` |

```
$ hrdet eval runs/mine --set \\
    a.b=1   # a remark
srun hrdet train ... --train-data ... | tee log
```

* an item

    hrdet predict RUN [PICTURES...]
"""


def document(tmp_path: Path) -> Document:
    path = tmp_path / "page.md"
    path.write_text(TEXT, encoding="utf-8")
    return read_document(path, root=tmp_path)


def test_links_are_found_outside_of_code(tmp_path: Path) -> None:
    assert document(tmp_path).links == ["other.md#a-place", "a.png"]


def test_headings_have_the_anchors_that_github_gives_them(tmp_path: Path) -> None:
    assert document(tmp_path).anchors == {"a-page", "a-key-its-use", "twice", "twice-1"}


def test_names_of_other_code_are_left_out(tmp_path: Path) -> None:
    assert document(tmp_path).inline_code == ["code with [no](link.md)", "key", "model.weights"]


def test_command_lines_are_joined_and_end_where_the_shell_ends_them(tmp_path: Path) -> None:
    assert document(tmp_path).command_lines == [
        ["eval", "runs/mine", "--set", "a.b=1"],
        ["train", "--train-data", "..."],
        ["predict", "RUN", "PICTURES..."],
    ]


def test_what_is_left_out_is_no_word() -> None:
    assert command_words(["train", "...", "[OPTIONS]", "[--json]"]) == ["train", "--json"]

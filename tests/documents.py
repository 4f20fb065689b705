"""What the README and the pages of ``docs`` say: links, headings, code, command lines, keys."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^ *(`{3,})")
_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$")
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_ENDS_COMMAND = {"|", "&&", "||", ";", "&", ">", ">>", "<"}


@dataclass(frozen=True, slots=True)
class Document:
    """A page, in parts.

    Attributes:
        path: From the root of the checkout.
        prose: All but blocks of code.
        blocks: What stands in each block of code, fenced or indented.
    """

    path: Path
    prose: str
    blocks: tuple[str, ...]

    @property
    def links(self) -> list[str]:
        """Where its links and pictures lead."""
        return _LINK.findall(_INLINE.sub("", self.prose))

    @property
    def headings(self) -> list[str]:
        """Its headings, without their hashes."""
        return [found.group(1) for line in self.prose.splitlines() if (found := _HEADING.match(line))]

    @property
    def inline_code(self) -> list[str]:
        """Code in lines of text, each in one line; not in columns of tables that are headed `theirs`."""
        return [
            " ".join(text.split()) for _, text in _INLINE.findall("\n".join(_own(self.prose.splitlines())))
        ]

    @property
    def anchors(self) -> set[str]:
        """What a link to a place on it may have behind its ``#``, on GitHub."""
        seen: dict[str, int] = {}
        found = set()
        for heading in self.headings:
            slug = slug_of(heading)
            number = seen.get(slug, 0)
            seen[slug] = number + 1
            found.add(f"{slug}-{number}" if number else slug)
        return found

    @property
    def command_lines(self) -> list[list[str]]:
        """The words behind ``hrdet`` of every command line in a block of code."""
        return [
            words for block in self.blocks for line in _joined_lines(block) for words in _commands_in(line)
        ]


def slug_of(heading: str) -> str:
    """A heading as the anchor that GitHub gives it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def documents() -> tuple[Document, ...]:
    """README, changelog and all of ``docs``."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(read_document(path) for path in paths)


def read_document(path: Path, *, root: Path = ROOT) -> Document:
    prose, blocks = list[str](), list[str]()
    lines = path.read_text(encoding="utf-8").splitlines()
    while lines:
        line = lines.pop(0)
        if fence := _FENCE.match(line):
            block: list[str] = []
            while lines and not lines[0].strip().startswith(fence.group(1)):
                block.append(lines.pop(0))
            del lines[:1]
            blocks.append("\n".join(block))
        elif line.startswith("    ") and not (prose and prose[-1].strip()):
            block = [line]
            while lines and (lines[0].startswith("    ") or not lines[0].strip()):
                block.append(lines.pop(0))
            blocks.append("\n".join(block))
        else:
            prose.append(line)
    return Document(path.relative_to(root), "\n".join(prose), tuple(blocks))


def _own(lines: Iterable[str]) -> Iterator[str]:
    """Lines without the names of other code: first columns of tables that are headed so."""
    is_foreign = False
    for line in lines:
        first, _, others = line.removeprefix("| ").partition(" | ")
        is_foreign = line.startswith("|") and (is_foreign or first == "theirs")
        yield others if is_foreign else line


def _joined_lines(block: str) -> list[str]:
    """The lines of a block, those that end with a backslash with what follows."""
    return re.sub(r" *\\\n *", " ", block).splitlines()


def _commands_in(line: str) -> Iterator[list[str]]:
    if not re.search(r"(^|[\s$])hrdet [a-z-]", line):
        return
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # text that somebody has quoted half of
        return
    if "hrdet" in words[:8]:
        yield command_words(words[words.index("hrdet") + 1 :])


def command_words(words: Sequence[str]) -> list[str]:
    """The words of a command, without what a shell takes, dots for what is left out, and brackets."""
    end = next((place for place, word in enumerate(words) if word in _ENDS_COMMAND), len(words))
    kept = list[str]()
    for word in words[:end]:
        is_left_out = word == "[OPTIONS]" or (word == "..." and not (kept and kept[-1].startswith("--")))
        kept += [] if is_left_out else [word if "=" in word else word.strip("[]")]
    return kept

"""Command lines that cannot be understood, and what was probably meant: one error for all of it.

Typer knows only that an option is not there.  People who come from other code type that code's options, and
here most of these are keys of a spec.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any

from typer.core import TyperCommand, TyperGroup

from hrdet_cli.cli.typer_errors import in_own_words
from hrdet_cli.errors import SpecError
from hrdet_cli.wording import command, shortened

_COMMAND_BY_FOREIGN_NAME: Mapping[str, str] = {
    **dict.fromkeys(("fit", "training", "finetune", "fine-tune", "resume"), "train"),
    **dict.fromkeys(("test", "val", "validate", "evaluate", "evaluation", "score"), "eval"),
    **dict.fromkeys(("diff", "versus", "vs"), "compare"),
    **dict.fromkeys(("detect", "infer", "inference", "demo", "visualize"), "predict"),
    **dict.fromkeys(("inspect", "batch", "show-batch"), "inspect-batch"),
    **dict.fromkeys(("onnx", "deploy"), "export"),
    **dict.fromkeys(("preset", "list", "models", "configs"), "presets list"),
    **dict.fromkeys(("check", "data", "verify"), "check-data"),
    **dict.fromkeys(("info", "env", "checks", "version"), "doctor"),
}


class HrdetCommand(TyperCommand):
    """A command that answers options it does not have with what to write."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As Typer does; switches take no value, and their help names none."""
        return _without_types_of_switches(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does, once every option is known to be one.

        Raises:
            SpecError: With every option that is none, or lacks its value; or with the first argument that is
                missing, too many, or of no use.
        """
        if not ctx.resilient_parsing:  # as when a shell completes a line
            usage = CommandUsage.of(self, ctx)
            if problems := list(usage.problems(args)):
                raise SpecError(problems)
            args = usage.as_typer_has_it(args)
            with in_own_words(usage.name, self, ctx, args):
                return list(super().parse_args(ctx, [*args]))
        return list(super().parse_args(ctx, args))


class HrdetGroup(TyperGroup):
    """A group of commands that knows what other code calls them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As of a command."""
        return _without_types_of_switches(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does.

        Raises:
            SpecError: An option of a command stands before it, or is none.
        """
        before = list(takewhile(_is_option, args))
        usage = CommandUsage.of(self, ctx)
        unknown = [word for word in before if word.partition("=")[0] not in usage.values_by_option]
        if unknown and not ctx.resilient_parsing:
            first = unknown[0].partition("=")[0]
            here = f"{usage.name} COMMAND"
            raise SpecError([f"{first}: options stand behind the command they are for: {here} {first}"])
        return list(super().parse_args(ctx, args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does.

        Raises:
            SpecError: There is no such command.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            meant: str | None = next(iter(get_close_matches(name, self.commands, n=1, cutoff=0.6)), None)
            if ctx.parent is None:
                meant = _COMMAND_BY_FOREIGN_NAME.get(name, meant)
            words = ["hrdet", *ctx.command_path.split()[1:]]
            answer = f"did you mean {command(*words, *meant.split())}?" if meant else _all_of(self.commands)
            raise SpecError([f"there is no command {' '.join(words)} {shortened(name)}; {answer}"])
        return super().resolve_command(ctx, args)


def _without_types_of_switches(parameters: Sequence[Any]) -> list[Any]:
    """Parameters, of which newer versions of Typer would write ``<bool>`` behind a switch."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return list(parameters)


def _all_of(names: Sequence[str] | Mapping[str, object]) -> str:
    return f"there are {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class CommandUsage:
    """What a command takes.

    Attributes:
        name: As it is typed: ``hrdet train``.
        values_by_option: How many values each option takes at most; 0 for a switch.
        metavars: What the values of an option are called; those in brackets may be left away. One with an
            ending, such as ``[FILE.html]``, is only what ends so, which is told from an argument.
        options_of_others: The commands that have an option, by option.
        repeatable: Options of several values that may be given again. Typer has none: to it they are lists of
            single values.
    """

    name: str
    values_by_option: Mapping[str, int]
    metavars: Mapping[str, Sequence[str]]
    options_of_others: Mapping[str, Sequence[str]]
    repeatable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, parsed: Any, ctx: Any) -> "CommandUsage":
        """The usage of a command of Typer's."""
        values: dict[str, int] = {}
        metavars: dict[str, Sequence[str]] = {}
        repeatable = set[str]()
        for parameter in parsed.get_params(ctx):
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-"):
                    is_switch = getattr(parameter, "is_flag", False) or getattr(parameter, "count", False)
                    metavars[option] = parameter.metavar.split(" ") if parameter.metavar else ["a value"]
                    values[option] = 0 if is_switch else max(parameter.nargs, len(metavars[option]))
                    if values[option] > max(parameter.nargs, 1):
                        repeatable.add(option)
        name = " ".join(["hrdet", *ctx.command_path.split()[1:]])
        return cls(name, values, metavars, _other_options(ctx), frozenset(repeatable))

    def problems(self, arguments: Sequence[str]) -> Iterator[str]:
        """What is wrong with arguments, before their values are looked at."""
        left = list(arguments)
        while left and (word := left.pop(0)) != "--":
            if not _is_option(word):
                continue
            option, equals, value = word.partition("=")
            if option not in self.values_by_option:
                given = value if equals else next((item for item in left[:1] if not _is_option(item)), None)
                yield f"{self.name} has no option {shortened(option)}; {self._answer(option, given)}"
                continue
            found = [] if equals else self._values_of(option, left)
            num_needed = self._num_needed(option, found)
            if not equals and len(found) < num_needed:
                follower = next(iter(left[len(found) :]), None)
                yield self._describe_missing(option, num_needed, found, follower=follower)
            del left[: len(found)]

    def as_typer_has_it(self, arguments: Sequence[str]) -> list[str]:
        """The same with an empty text for each value that was left away, for Typer knows one number alone.

        Of an option of several values that may come again, each value has the option before it.
        """
        done, left = list[str](), list(arguments)
        while left:
            word = left.pop(0)
            if word == "--":
                return [*done, word, *left]
            done.append(word)
            option, equals, value = word.partition("=")
            if not _is_option(word) or (equals and not self._may_lack_values(option)):
                continue
            if equals:
                done[-1] = option
                left.insert(0, value)
            found = self._values_of(option, left) or ([value] if equals else [])
            values = [*found, *([""] * (self.values_by_option[option] - len(found)))]
            done += values[:1]
            for more in values[1:]:
                done += [option, more] if option in self.repeatable else [more]
            del left[: len(found)]
        return done

    def _values_of(self, option: str, words: Sequence[str]) -> list[str]:
        """The values that stand behind an option; those that may be left away where they can be meant."""
        found = list(takewhile(lambda item: not _is_option(item), words[: self.values_by_option[option]]))
        fewest = self._fewest_values(option)
        if len(found) <= fewest:
            return found
        ending = PurePath(self.metavars[option][-1].strip("[]")).suffix
        is_meant = found[-1].lower().endswith(ending) if ending else not _needs_no_images(*found)
        return found if is_meant else found[:fewest]

    def _fewest_values(self, option: str) -> int:
        num_optional = sum(name.startswith("[") for name in self.metavars[option])
        return self.values_by_option[option] - num_optional

    def _may_lack_values(self, option: str) -> bool:
        return self._fewest_values(option) < self.values_by_option[option]

    def _num_needed(self, option: str, found: Sequence[str]) -> int:
        """How many values an option takes that begin so: COCO's JSON goes with its pictures."""
        is_json = bool(found) and found[0].lower().endswith(".json")
        return self.values_by_option[option] if is_json else self._fewest_values(option)

    def _describe_missing(
        self, option: str, num_needed: int, found: Sequence[str], *, follower: str | None
    ) -> str:
        wanted = [name.strip("[]") for name in self.metavars[option]][:num_needed]
        missing = " ".join(wanted[len(found) :])
        behind = "" if follower is None else f", but {follower.partition('=')[0]} follows"
        return f"{option} takes {' '.join(wanted)}: {missing} is missing{behind}"

    def _answer(self, option: str, value: str | None) -> str:
        """What to write in place of an option."""
        if (dashed := option.replace("_", "-")) in self.values_by_option:
            return f"did you mean {dashed}?"
        answer = None
        if option == "--run-dir":
            answer = f"write {command(*self.name.split(), value or 'RUN')}"
        elif option.startswith("--") and "--set" in self.values_by_option:
            answer = self._setting_for(option, value)
        if answer is None and (others := self.options_of_others.get(option)):
            answer = f"it is an option of {' and '.join(others)}"
        if answer is None and (near := get_close_matches(option, self.values_by_option, n=1, cutoff=0.8)):
            answer = f"did you mean {near[0]}?"
        return answer or f"see {self.name} --help"

    def _setting_for(self, option: str, value: str | None) -> str | None:
        from hrdet_cli.specs.foreign_names import answer_to
        from hrdet_cli.specs.suggestions import settings_for

        settings = settings_for(option, value)
        if not settings:
            return answer_to(option)
        if self.name != "hrdet train":
            settings = [_without_training(setting, value) for setting in settings]
        key, _, given = settings[0].partition("=")
        if "--min-score" in self.values_by_option and key.endswith(".score_threshold"):
            return f"write {command('--min-score', given)}"
        if (weights := settings[0].removeprefix("model.weights=")) != settings[0]:
            has_option = "--weights" in self.values_by_option
            return f"write {command(*(['--weights'] if has_option else self.name.split()), weights)}"
        return "write " + " ".join(command("--set", setting) for setting in settings)


def _without_training(setting: str, value: str | None) -> str:
    """A setting for commands that look at pictures as they are evaluated, at one scale."""
    if not setting.startswith("augmentation.scales_pixels="):
        return setting
    long, short = (value, value) if value is not None and value.isdigit() else ("1333", "800")
    return f"evaluation.scale_pixels=[{long}, {short}]"


def _needs_no_images(source: str, follower: str) -> bool:
    """Whether data say themselves where their pictures are, so that what follows is something else.

    A folder before a JSON file does not: they are exchanged, which is said later.
    """
    path = Path(source)
    if path.suffix.lower() in (".yaml", ".yml"):
        return True
    of_data_sets = ("*.yaml", "*.yml", "*.[Xx][Mm][Ll]", "[Aa]nnotations/*.[Xx][Mm][Ll]")
    return not follower.endswith(".json") and any(next(path.glob(name), None) for name in of_data_sets)


def _is_option(word: str) -> bool:
    """Whether a word of a command line is an option: ``-1`` and ``-`` are none."""
    return word.startswith("--") or (word.startswith("-") and word[1:2].isalpha())


def _other_options(ctx: Any) -> dict[str, list[str]]:
    """The options of the other commands beside a command."""
    if ctx.parent is None:
        return {}
    found: dict[str, list[str]] = {}
    for name, other in getattr(ctx.parent.command, "commands", {}).items():
        for option in (option for parameter in other.params for option in parameter.opts):
            if option.startswith("--"):
                found.setdefault(option, []).append(f"hrdet {name}")
    return found

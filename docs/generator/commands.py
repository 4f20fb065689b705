"""The page of commands, out of the command line itself."""

from collections.abc import Iterator

from docs.generator.markdown import block, bullets, code, page, sentence
from docs.generator.parameters import Command, Parameter, all_commands
from hrdet_cli.cli.app import app


def commands_page() -> str:
    """Every command with its arguments and options, grouped as its help shows them."""
    parts = [part for command in all_commands(app, "hrdet") for part in _section(command)]
    return page(
        "Commands",
        "Every command with every option. `hrdet COMMAND --help` prints the same. What a command ends with: "
        "[exit codes](exit-codes.md).",
        *parts,
        "## Shells",
        "`hrdet --version` prints the version. `hrdet --install-completion` makes bash, zsh, fish or "
        "PowerShell complete commands, options, names of presets behind `--preset` and keys behind `--set`; "
        "`hrdet --show-completion` prints what it would install.",
    )


def _section(command: Command) -> Iterator[str]:
    arguments = [one for one in command.parameters if not one.is_option]
    options = [one for one in command.parameters if one.is_option]
    yield f"## {command.name}"
    for paragraph in command.help.split("\n\n"):
        yield sentence(paragraph)
    words = [one.spelling if one.is_required else f"[{one.spelling}]" for one in arguments]
    words += [one.spelling for one in options if one.is_required]
    yield block(" ".join([command.name, *words, *(["[OPTIONS]"] if options else [])]))
    if arguments:
        yield _list_of(arguments)
    for panel in dict.fromkeys(one.panel for one in options):
        yield f"**{panel or 'Options'}**"
        yield _list_of([one for one in options if one.panel == panel])


def _list_of(parameters: list[Parameter]) -> str:
    return bullets(f"{code(one.spelling)}: {' '.join(_facts(one))}" for one in parameters)


def _facts(parameter: Parameter) -> Iterator[str]:
    """What a parameter is for, its limits, its default, and whether it has to be given."""
    yield sentence(parameter.help)
    if parameter.least is not None:
        most = "" if parameter.most is None else f", at most {parameter.most:g}"
        yield f"At least {parameter.least:g}{most}."
    if parameter.is_option and parameter.is_required:
        yield "Has to be given."
    if parameter.default is not None and "default" not in parameter.help.lower():
        yield f"Default {code(parameter.default)}."

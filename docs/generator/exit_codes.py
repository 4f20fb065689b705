"""The page of exit codes, out of the errors that have them."""

import inspect

from docs.generator.markdown import page, sentence, table
from hrdet_cli import errors
from hrdet_cli.errors import HrdetError

_OTHERS = {
    "0": "Done.",
    "130": "Stopped by Ctrl-C, here or on another node. A run has finished its step and saved it.",
    "143": "Stopped by SIGTERM, likewise.",
    "128 + N": "Stopped by signal N, likewise: SIGHUP, SIGUSR1 or SIGUSR2 (129, 138 and 140 on Linux).",
}


def exit_codes_page() -> str:
    """Every code with what it means."""
    meanings: dict[int, list[str]] = {}
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, HrdetError):
            meanings.setdefault(error.exit_code, []).append(_meaning(error))
    rows = [[str(code), " ".join(meanings[code])] for code in sorted(meanings)]
    done, *stopped = _OTHERS.items()
    return page(
        "Exit codes",
        "The number that a command ends with (`echo $?`) says what kind of thing went wrong, so that a "
        "script can tell. The message on stderr says which file, which item and what to do.",
        table(["code", "meaning"], [done, *rows, *stopped]),
        "Several processes end with the same code, that of the error one of them met; "
        "[when something dies](../multi-node.md#when-something-dies) has what happens on several nodes.",
    )


def _meaning(error: type[HrdetError]) -> str:
    """The docstring of an error up to its attributes."""
    text = inspect.cleandoc(error.__doc__ or "").partition("\n\nAttributes:")[0]
    return " ".join(sentence(paragraph) for paragraph in text.split("\n\n"))

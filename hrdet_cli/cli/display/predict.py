"""What was found in pictures, as a table."""

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import Name, plain_table, print_line
from hrdet_cli.runs.predict.document import PredictedPicture
from hrdet_cli.runs.predict.inputs import describe_skipped
from hrdet_cli.runs.predict.prediction import Prediction
from hrdet_cli.wording import counted, first_few

NUM_ROWS = 30
_NUM_CLASSES = 3


def print_prediction(prediction: Prediction, console: Console) -> None:
    """Print a row for each picture, a line for each that could not be read, and a summary.

    Of both the first 30 are shown; the file has all.
    """
    if prediction.pictures:
        shown = prediction.pictures[:NUM_ROWS]
        console.print(_draw_table(shown, prediction.class_names, width=console.width))
        _print_rest(len(prediction.pictures), prediction, console)
        console.print()
    for picture in prediction.failed[:NUM_ROWS]:
        line = Text.assemble(("not read: ", "bold red"), _shown(f"{picture.name}: {picture.reason}"))
        print_line(console, line)
    if prediction.failed:
        _print_rest(len(prediction.failed), prediction, console)
        console.print()
    console.print(_summary(prediction), soft_wrap=True)
    console.print(str(prediction.out), style="dim", soft_wrap=True)


def _print_rest(number: int, prediction: Prediction, console: Console) -> None:
    if number > NUM_ROWS:
        console.print(
            f"and {number - NUM_ROWS} more in {prediction.out / 'detections.json'}",
            style="dim",
            soft_wrap=True,
        )


def _draw_table(pictures: Sequence[PredictedPicture], class_names: Sequence[str], *, width: int) -> Table:
    """A row for each picture; names get what the rest leaves, but half of the width in any case."""
    table = plain_table()
    table.add_column("picture", style="cyan", no_wrap=True)
    for heading in ("size", "found"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("best")
    rows = []
    for picture in pictures:
        found = picture.detections
        best = _best_classes(found.labels.tolist(), found.scores.tolist(), class_names)
        rows.append((_shown(picture.name), str(picture.size), str(len(found.scores)), _shown(best)))
    others = max(sum(2 + max(cell_len(text), 5) for text in row[1:]) for row in rows)
    for name, *texts in rows:
        table.add_row(Name(name, most=max(width - others, width // 2)), *map(Text, texts))
    return table


def _best_classes(labels: Sequence[int], scores: Sequence[float], class_names: Sequence[str]) -> str:
    """The three classes with the best scores: ``3 person 0.98, dog 0.75``."""
    counts = Counter(labels)  # in the order of first occurrence, and detections come best first
    best_scores = dict(reversed(list(zip(labels, scores, strict=True))))
    texts = [
        f"{f'{counts[label]} ' if counts[label] > 1 else ''}{class_names[label]} {best_scores[label]:.2f}"
        for label in counts
    ]
    return first_few(texts, _NUM_CLASSES)


def _shown(text: str) -> str:
    """On one line, and without what a name could tell the terminal to do."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _summary(prediction: Prediction) -> Text:
    num_found = sum(len(picture.detections.scores) for picture in prediction.pictures)
    parts = [f"{num_found} found in {_pictures(len(prediction.pictures))}"]
    if prediction.failed:
        parts.append(f"{len(prediction.failed)} could not be read")
    if prediction.skipped:
        parts.append(f"skipped {describe_skipped(prediction.skipped)}")
    if prediction.num_not_done:
        parts.append(f"stopped before {_pictures(prediction.num_not_done)}")
    return Text("; ".join(parts), style="bold")


def _pictures(number: int) -> str:
    return counted(number, "picture")

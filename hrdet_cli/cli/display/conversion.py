"""What ``hrdet convert`` has written, and what was lost on the way."""

from rich.console import Console
from rich.text import Text

from hrdet_cli.cli.display.console import print_line, shown_path
from hrdet_cli.runs.convert import ConversionReport
from hrdet_cli.wording import command, counted


def print_conversion(report: ConversionReport, console: Console) -> None:
    """A line for each part, one for each kind of loss, and the options that take the result."""
    for name, num_pictures in report.num_pictures.items():
        num_objects = report.num_objects[name]
        counts = f"{counted(num_pictures, 'picture')}, {counted(num_objects, 'object')}"
        print_line(console, Text.assemble((f"{name}: ", "bold"), counts))
    width = max((len(f"{count:,}") for count in report.losses.values()), default=0)
    for what, count in report.losses.items():
        print_line(console, Text.assemble(("lost:  ", "yellow"), f"{count:>{width},}  {what}"))
    if not report.losses:
        print_line(console, Text("nothing lost"))
    print_line(console, Text(f"wrote {shown_path(report.out)}; train on it with: {command(*report.use)}"))

"""Values as a spec has them, in a line and whole."""

from typing import Any


def written(value: Any) -> str:
    """A value of plain types in YAML's flow style: ``null``, ``[8, 11]``, ``{kind: l1}``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)

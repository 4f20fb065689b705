"""Whether a process was asked to stop, where nobody can ask."""


def never() -> bool:
    """The answer of whoever cannot be asked to stop."""
    return False

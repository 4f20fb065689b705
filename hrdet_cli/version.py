"""Which hrdet this is. Every layer may use it."""

__version__ = "0.1.0"

"""Which process this is, and what it exchanges with the others."""

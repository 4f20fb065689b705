"""Makes the pages of ``docs/reference`` out of the code: ``make docs-pages``."""

"""A run's own page: what is on record of it, in one file."""

"""A trained detector in the file formats of other programs."""

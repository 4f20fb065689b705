"""``hrdet check-data``: everything that is wrong with a data set, and a cleaned annotation file."""

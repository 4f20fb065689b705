"""A page that says why a detector's average precision is what it is."""

"""The table of published weights: what there is, where, and how to tell that it is it."""

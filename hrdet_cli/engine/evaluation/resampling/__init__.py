"""How much of a difference between detectors is chance: the same numbers of pictures that are drawn anew."""

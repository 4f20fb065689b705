"""Evaluation: a detector over a data set, and COCO metrics of what it found."""

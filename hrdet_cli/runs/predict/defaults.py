"""What holds in a prediction where nobody asks for something else."""

MIN_SCORE = 0.3
"""Detections with a lower score are left out."""

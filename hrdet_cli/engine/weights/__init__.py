"""Published weights: read without running anything, recognised, renamed and loaded."""

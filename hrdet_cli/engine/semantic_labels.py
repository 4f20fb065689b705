"""What label maps have as numbers, without torch: what must be known before a network is built."""

LABEL_MAP_STRIDE = 8
"""Pixels from one labelled pixel of ``Targets.semantic`` to the next, along rows and columns."""
UNLABELLED = 255
"""Label of pixels of which nobody says what they belong to, and of padding."""

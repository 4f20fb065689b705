"""Why a detector's average precision is what it is."""

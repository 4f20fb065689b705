"""One way to a trained detector: from a run, from a checkpoint, or from weights that other code trained."""

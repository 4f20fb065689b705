"""Weights of other code: what they are, whether they fit a spec, and making checkpoints of them."""

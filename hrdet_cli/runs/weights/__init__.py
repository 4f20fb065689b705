"""``hrdet weights``: what weights are, whether they fit a spec, and making checkpoints of them."""

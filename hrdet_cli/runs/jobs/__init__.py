"""``hrdet job``: files for schedulers that start a run and go on with it."""

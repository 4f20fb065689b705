"""``hrdet compare``: trained detectors against each other, and how much of it is chance."""

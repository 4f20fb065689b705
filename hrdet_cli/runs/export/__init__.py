"""``hrdet export``: a trained detector in, a file for another program out."""

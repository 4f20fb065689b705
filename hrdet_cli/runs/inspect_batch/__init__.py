"""``hrdet inspect-batch``: what training would get, drawn and counted before anything is trained."""

"""``hrdet benchmark-pad``: what each padding policy costs on the user's spec, data and device."""

"""From spec to engine: the one place where settings become objects."""

"""Parts of an experiment that do not go together."""

"""Normalisation: the kinds of it, changing a built model from one to another, and what it must survive."""

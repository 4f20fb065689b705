"""Measuring what synchronised normalisation costs, and how exact it is."""

"""Finds what is wrong with annotations and pictures, and makes a cleaned copy of the annotations."""

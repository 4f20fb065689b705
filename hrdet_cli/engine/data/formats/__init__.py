"""Annotations in whatever format they are written, each read as what a COCO file would have of them."""

"""Configurations of mmdetection 1, 2 and 3: read without being run, and translated into specs."""

"""The data set of a spec: found, drawn if it is the demo's, checked before anything runs."""

"""What ``hrdet doctor`` finds out about a machine and about a group of processes."""

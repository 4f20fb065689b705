"""What only a GPU can tell, in one report: ``make gpu-check``."""

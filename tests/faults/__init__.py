"""What only faults, long runs and hostile surroundings show."""

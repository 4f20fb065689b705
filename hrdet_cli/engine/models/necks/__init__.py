"""What makes a pyramid of a backbone's maps."""

"""What is predicted for regions that are cut out of a pyramid."""

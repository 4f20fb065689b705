"""What is predicted at every cell of a pyramid."""

"""What any head does with boxes."""

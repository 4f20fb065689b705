"""What runs report, drawn for a terminal or written as plain lines."""

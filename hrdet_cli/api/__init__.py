"""What scripts use of hrdet. Its public names are those of ``hrdet_cli.__all__``; all else is private."""

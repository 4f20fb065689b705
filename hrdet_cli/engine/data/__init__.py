"""From annotation files and pictures to padded batches."""

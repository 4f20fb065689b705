"""One file per command: spec in, a stream of reports or a result out. Draws nothing."""

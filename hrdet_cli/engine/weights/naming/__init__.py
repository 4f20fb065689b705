"""What tensors are called, by us and by whoever else writes weights of the same networks."""

"""How a training run begins: everything is built and checked before the folder is touched."""

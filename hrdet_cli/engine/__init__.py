"""The machinery: detector, data path, training, evaluation, pictures. Knows no spec and no terminal."""

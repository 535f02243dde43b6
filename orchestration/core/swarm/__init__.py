"""How swarms move, search and share out work: arrays in, arrays out."""

"""How a swarm shares out partitions of data: who takes what, and what came of it."""

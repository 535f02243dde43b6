"""Where the core meets the world: database, broker, Redis, servers."""

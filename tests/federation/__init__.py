"""Real node processes over real brokers, for the integration tests and the benchmarks."""

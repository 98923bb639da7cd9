"""Kafka: how records travel. Readers, writers and administration over the client libraries, and a broker for trials."""

"""The fault harness: two countries and a hub on real Kafka and PostgreSQL, killed at named points."""

"""2020: small services on a replicated log (NATS JetStream)."""

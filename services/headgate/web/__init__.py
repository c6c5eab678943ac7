"""What the HTTP services share: one ASGI front, streams, who asks, and the one table from codes to statuses."""

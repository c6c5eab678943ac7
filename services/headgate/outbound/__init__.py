"""What headgate calls: artifact storage, and later GitHub, providers and secrets. Adapters; they decide nothing."""

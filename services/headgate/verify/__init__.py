"""The proofs that ship with the product: they drive the real flows through failures and count what they reached."""

"""Plain values and rules. No I/O here: no clock, no randomness, no database, no network, standard library only."""

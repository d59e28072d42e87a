"""The real clients in tests: where they are, how they run without a network, what they said."""

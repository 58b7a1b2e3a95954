"""TODO: what lives here, what it may know, and who owns its state."""

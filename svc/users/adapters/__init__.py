"""Who serves the ports of the users service."""

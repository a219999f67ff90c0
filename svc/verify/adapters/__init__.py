"""Who serves the ports of this service."""

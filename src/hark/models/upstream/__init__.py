"""Another server as an engine."""

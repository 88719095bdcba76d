"""Where bytes come in and go out: transports, the pump, and what HTTP answers."""

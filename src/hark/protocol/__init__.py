"""Pure translators between what travels and what it means: frames to commands, events to frames."""

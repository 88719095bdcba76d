"""The pure heart: commands and results in, events and work out. No asyncio, no clock, no random ids."""

"""Who is calling: API keys, short-lived client secrets, and what their bearers may do."""

"""Running models: which requests go together, who owns a loaded model, and how results get back."""

"""Settings of models that would make the file of their paper too long."""

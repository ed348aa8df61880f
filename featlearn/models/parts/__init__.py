"""What several models are made of; no models themselves."""

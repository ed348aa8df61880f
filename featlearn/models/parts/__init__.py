"""Parts of models that fill more than one file: no models by themselves."""

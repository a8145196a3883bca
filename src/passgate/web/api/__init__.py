"""The JSON endpoints; each file holds its own input and output models. Not here: rules (`core`) and guards
(`guards`)."""

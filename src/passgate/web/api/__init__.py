"""The JSON endpoints; each file holds its own input and output models. Rules live in `core`, guards in `guards`."""

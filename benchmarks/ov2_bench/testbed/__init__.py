"""Real programs beside us: the service, a broker, a database, each a process of its own that is ended with whoever started it."""

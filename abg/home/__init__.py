"""What the command line decides and says, as pure functions: no I/O, no clock, no Twisted."""

__all__: list[str] = []

"""The console of `show`: it lets one_line_errors end the command when nobody reads the output any more."""
from rich.console import Console


class Output(Console):
    """A console that raises the BrokenPipeError, which rich would report as an error."""

    def on_broken_pipe(self) -> None:
        """Called by rich while it handles the BrokenPipeError."""
        raise

"""The program ``spill-ring``, also ``python -m spill_ring``: its commands, and how it reports errors."""
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

from spill_ring import __version__
from spill_ring.cli.text import printable

EXTRAS = {"matplotlib": "plot", "pyarrow": "parquet"}  # packages that the extra "cli" doesn't install


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an error that the user can mend as one line on standard error, and warnings too."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # prints the names of files as the bytes that they are
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(printable(f"spill-ring: {message}"), file=sys.stderr)
        try:
            yield
        except BrokenPipeError:  # the reader of the output has seen enough
            sys.stdout = None  # or Python would flush it again
        except KeyboardInterrupt:
            sys.exit(130)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == "spill_ring":
                raise
            sys.exit(f"spill-ring: this needs {package}: pip install 'spill_ring[{EXTRAS.get(package, 'cli')}]'")
        except (IndexError, MemoryError, OSError, OverflowError, RecursionError, TypeError, ValueError) as error:
            message = str(error) or ("not enough memory" if isinstance(error, MemoryError) else type(error).__name__)
            if isinstance(error, OSError) and error.filename is not None:
                message = f"{os.fsdecode(error.filename)}: {error.strerror or error}"
            sys.exit(printable("; ".join([f"spill-ring: {message}", *getattr(error, "__notes__", [])])))


def main() -> None:
    """Run the command line."""
    try:
        import typer
    except ModuleNotFoundError:
        sys.exit("spill-ring: the command line needs more packages: pip install 'spill_ring[cli]'")

    from spill_ring.cli.export import export
    from spill_ring.cli.record import record
    from spill_ring.cli.show import show
    from spill_ring.cli.tail import tail

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

    def print_version(is_wanted: bool) -> None:
        if is_wanted:
            print(f"spill-ring {__version__}")
            raise typer.Exit()

    @app.callback()
    def spill_ring(
        version: Annotated[
            bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """Record streams of numbers so that a crash loses nothing, and look at what was recorded."""

    def add(run: Callable[..., int]) -> None:
        @app.command(run.__name__)
        @wraps(run)
        def command(**options: Any) -> None:
            with one_line_errors():
                raise typer.Exit(run(**options))

    for run in (record, show, tail, export):
        add(run)
    app(prog_name="spill-ring")

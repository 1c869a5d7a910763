"""Programs that tests start: the files in tests/children."""
import os
import subprocess
import sys
from pathlib import Path

CHILDREN = Path(__file__).parents[1] / "children"


def command(name, *args, options=()):
    """The command line of a child. -P: it imports what is installed, not what lies beside it."""
    return [sys.executable, "-P", *options, str(CHILDREN / f"{name}.py"), *map(str, args)]


def complete_child(name, *args, options=(), status=0, timeout=60):
    """Run a child, which must end with this status. It imports what this process does, helpers too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    line = command(name, *args, options=options)
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout, env=environment)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done


def run_child(name, *args, options=()):
    """Run a child, which must succeed, and return what it printed."""
    return complete_child(name, *args, options=options).stdout

"""What all parts of the package stand on."""
import ctypes


def _refuse_subinterpreter() -> None:
    # A compiled module belongs to the first interpreter that loads it. So this runs before any of them is loaded, and
    # asks CPython through ctypes, which numpy imports anyway.
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p)
    running = get(("PyInterpreterState_Get", ctypes.pythonapi))()
    if running != get(("PyInterpreterState_Main", ctypes.pythonapi))():
        raise ImportError(
            "spill_ring can't be imported in a subinterpreter, since its threads ask for the GIL of the main one; "
            "import it in the main interpreter, or use a process"
        )


_refuse_subinterpreter()

"""Started by tests/threads/test_consumer_gone.py: the main thread is the consumer, and ends."""

from helpers.in_child import *

how, kind = sys.argv[1:]
ring = SpscRing(100, "i8", overflow="block") if kind == "spsc" else None
if ring is None:
    # The rings of an MpscRing don't wait, but what stands behind them may.
    ring = SpscRing(100, "i8", overflow="block")
    shared = MpscRing(10, "i8", LockedSink(ring), producers=2)
    producers = shared.producers
else:
    producers = [ring]


def measure(producer):
    try:
        while True:
            producer.extend(np.ones(100, "i8"))
    except ConsumerGoneError as error:
        print(type(error).__name__, file=sys.stderr)
        os.write(1, b"ended\n")  # at once, since two threads say it


def start():
    for producer in producers:
        threading.Thread(target=measure, args=(producer,)).start()


if how == "fork":
    ring.push(0)
    threading.Thread(target=lambda: [ring.pop(), time.sleep(1)]).start()
    time.sleep(0.2)
    if fork() == 0:  # where the thread that took last isn't
        start()
    else:
        os.wait()
else:
    start()
    for _ in ring.blocks(10):
        if how == "interrupt":
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        raise ValueError("the consumer's own fault")

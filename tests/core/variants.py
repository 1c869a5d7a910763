"""Broken copies of the headers, made by exact changes of their text, and the tests that must catch each copy.

A test that passes with every broken copy shows nothing. The table in README.md tells which test catches which copy.
"""
import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
HEADERS = ["spsc.h", "portable.h"]


def find_include():
    """The include folder of the installed package, or the one of this repository."""
    try:
        from spill_ring import get_include
    except ImportError:
        include = HERE.parents[1] / "spill_ring" / "include"
    else:
        include = Path(get_include())
    return include


def read_headers():
    """The text of each header by its name."""
    return {name: (find_include() / "spill_ring" / name).read_text() for name in HEADERS}


@dataclass
class Variant:
    """A change of the headers, and what catches it: a macro of a model, and tests of the C code."""

    says: str
    changes: list
    model: str = ""  # the macro BREAK_... in spsc.pml, or in wait.pml if is_wait
    is_wait: bool = False
    caught_by: set = field(default_factory=set)  # some of "stress", "narrow", "tsan", "cortex", which catch it soon
    options: str = "--far 0"  # the options of stress that catch it soonest
    options_of_model: str = "C=2 S=2 N=4 BLOCK=2 CLAIM=2 FAILS=1"

    def apply(self, headers):
        for old, new in self.changes:
            count = sum(text.count(old) for text in headers.values())
            assert count == 1, f"{self.says}: {old!r} is {count} times in the headers"
            headers = {name: text.replace(old, new) for name, text in headers.items()}
        return headers


# Positions have 32 bits on any machine. This copy is not broken.
NARROW = Variant(
    "positions of 32 bits",
    [("#if UINTPTR_MAX > 0xffffffffu\ntypedef uint64_t sr_index;", "#if 0\ntypedef uint64_t sr_index;")],
)


def relaxed(text):
    """A variant for each acquire and release in a header, relaxed. They are searched for, so that none is forgotten."""
    found = {}
    for line in text.splitlines():
        orders = re.findall(r"memory_order_(?:acquire|release|acq_rel|seq_cst|consume)", line)
        if not orders or "atomic_signal_fence(memory_order_seq_cst)" in line:
            continue
        name = re.search(r"/\* ([RW]\d), pairs with ([RW]\d) \*/", line)
        assert len(orders) == 1 and name, f"an order without its name and its pair: {line.strip()}"
        assert name[1] not in found and name[1][1] == name[2][1] and name[1][0] != name[2][0], line
        found[name[1]] = Variant(
            f"{name[1]} relaxed: `{orders[0]}`",
            [(line, line.replace(orders[0], "memory_order_relaxed"))],
            model=name[1],
            caught_by={"tsan"} if name[1] in ("W1", "R1", "W2", "R2") else set(),
            options="--far 0 --capacity 2 --factor 2 --evicts 1 --stalls 8 --fails 0 --push-block 3 --pop-block 3",
        )
    return found


BLOCKS = "--push-block 3 --pop-block 3"
SMALL = f"--far 0 --evicts 1 --capacity 3 --factor 1 --size 8 --abandons 0 --clears 0 --waits 0 {BLOCKS}"
EXACT = "--far 0 --evicts 1 --capacity 5 --threads 1 --evict-block 1 --fails 0"

OTHERS = {
    "FINISHED": Variant(
        "the producer takes all slots below the head for free",
        [("if ((sr_distance)(finished - n_claimed) >= 0)", "if ((sr_distance)(finished - n_claimed) >= 0 || 1)")],
        model="FINISHED",
        caught_by={"stress", "cortex"},
        options="--far 0 --capacity 4 --size 64 --stalls 2",
    ),
    "COPY_FIRST": Variant(
        "the consumer copies before it claims",
        [
            (
                "    size_t count = (size_t)sr_claim(ring, max, 0);\n    if (count == 0)\n        return 0;\n"
                "    sr_read(ring, ring->claimed, (unsigned char *)out, (sr_index)count);\n",
                "    size_t count;\n    sr_index head = had_claim ? ring->claimed : sr_load(&ring->head);\n"
                "    ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);\n"
                "    count = (sr_distance)(ring->seen_tail - head) > 0 ? (size_t)(ring->seen_tail - head) : 0;\n"
                "    count = had_claim ? ring->claimed_count : sr_min((sr_index)count, ring->capacity);\n"
                "    max = had_claim ? (count < max ? count : max) : max;\n"
                "    count = count < max ? count : max;\n"
                "    sr_read(ring, head, (unsigned char *)out, (sr_index)count);\n"
                "    if (count == 0 || (count = (size_t)sr_claim(ring, count, 0)) == 0)\n        return 0;\n",
            )
        ],
        model="COPY_FIRST",
        caught_by={"stress", "tsan"},
        options=SMALL,
    ),
    "FINISH_FIRST": Variant(
        "`finished` is advanced before the copy",
        [
            (
                "    sr_read(ring, ring->claimed, (unsigned char *)out, (sr_index)count);\n"
                "    sr_finish(ring, (sr_index)count);\n",
                "    sr_finish(ring, (sr_index)count);\n"
                "    sr_read(ring, ring->claimed - (sr_index)count, (unsigned char *)out, (sr_index)count);\n",
            )
        ],
        model="FINISH_FIRST",
        caught_by={"stress", "tsan"},
        options="--far 0 --evicts 1 --capacity 3 --factor 1 --size 256 --push-block 3 --pop-block 3 --abandons 0",
    ),
    "CONSUMER_SWAPS": Variant(
        "the consumer's claim is a load and a store",
        [
            (
                "SR_LIKELY(atomic_compare_exchange_weak_explicit(&ring->head, &head, head + count, "
                "memory_order_relaxed,\n"
                "                                                            memory_order_relaxed))",
                "sr_load(&ring->head) == head ? (sr_store(&ring->head, head + count), 1)"
                " : (head = sr_load(&ring->head), 0)",
            )
        ],
        model="CONSUMER_SWAPS",
        caught_by={"stress"},
        options=SMALL,
    ),
    "PRODUCER_SWAPS": Variant(
        "the producer's claim is a load and a store",
        [
            (
                "    if (!atomic_compare_exchange_strong_explicit(&ring->head, &head, end, memory_order_relaxed,\n"
                "                                                 memory_order_relaxed))\n        return SR_DONE;\n",
                "    if (sr_load(&ring->head) != head)\n        return SR_DONE;\n    sr_store(&ring->head, end);\n",
            )
        ],
        model="PRODUCER_SWAPS",
        caught_by={"stress"},
        options=SMALL,
    ),
    "PASS": Variant(
        "the head follows the tail when items are forwarded",
        [
            ("    sr_store(&ring->head, tail);\n    ring->limit = tail;\n    sr_publish(ring, tail);\n",
             "    sr_publish(ring, tail);\n    sr_store(&ring->head, tail);\n    ring->limit = tail;\n"),
        ],
        model="PASS",
        caught_by={"stress"},
        options="--far 0 --evicts 1 --capacity 1 --factor 1 --push-block 4 --size 8 --abandons 0 --waits 0 --stalls 11",
    ),
    "GIVE_BACK": Variant(
        "refused items return to the ring by a plain store, though the consumer has gone on",
        [
            (
                "        && atomic_compare_exchange_strong_explicit(&ring->head, &end, ring->pending, "
                "memory_order_relaxed,\n                                                   memory_order_relaxed)) {\n",
                "        && (sr_store(&ring->head, ring->pending), end != 0)) {\n",
            )
        ],
        model="GIVE_BACK",
        caught_by={"stress"},
        options="--far 0 --fails 1 --evicts 1 --abandons 0 --capacity 8 --waits 0",
    ),
    "PENDING": Variant(
        "pending items are not delivered first",
        [("    if (ring->pending_count != 0 && (error = sr_deliver(ring)) != SR_DONE)\n        return error;\n"
          "    for (;;) {\n        sr_index head = sr_refresh_limit(ring)",
          "    for (;;) {\n        sr_index head = sr_refresh_limit(ring)")],
        model="PENDING",
        options_of_model="C=2 S=4 N=5 FAILS=1",
        caught_by={"stress"},
        options="--far 0 --fails 1 --evicts 1 --abandons 0 --capacity 8 --waits 0",
    ),
    "LIMIT": Variant(
        "the limit stays where it was when items are forwarded",
        [("    ring->limit = tail;\n", "")],
        caught_by={"stress"},
        options="--far 0 --evicts 1",
    ),
    "ONE_MORE": Variant(
        "the producer takes one slot too many for free",
        [("ring->safe + ring->mask + 1 - sr_load", "ring->safe + ring->mask + 2 - sr_load")],
        caught_by={"stress"},
        options="--far 0 --capacity 4 --factor 1 --evicts 1",
    ),
    "KEPT_LOOK": Variant(
        "the old snapshot is kept as long as one claim lasts",
        [("    else if (n_claimed != ring->snapshot_n_claimed)\n", "    else\n")],
        caught_by={"stress"},
        options=f"{EXACT} --factor 2",
    ),
    "FITTING": Variant(
        "a ring with less than twice the slots evicts all its items",
        [("ring->safe == head ? ring->capacity : sr_writable(ring);", "sr_writable(ring);")],
        caught_by={"stress"},
        options=f"{EXACT} --factor 1",
    ),
    "FAR_TAIL": Variant(
        "where positions wrap, the consumer trusts a tail that it loaded long ago",
        [("sizeof(sr_index) < 8 || available <= 0", "available <= 0")],
        caught_by={"narrow"},
        options="",
    ),
    "FAR_SAFE": Variant(
        "where positions wrap, a stalled claim is left too far behind",
        [("    if ((sr_distance)(tail - ring->safe - ring->mask) > 1)\n"
          "        ring->safe = tail - ring->mask - 1;\n", ""),
         ("    return sr_min(ring->safe + ring->mask + 1 - sr_load(&ring->tail), ring->capacity);\n",
          "    sr_distance free = (sr_distance)(ring->safe + ring->mask + 1 - sr_load(&ring->tail));\n"
          "    return free < 0 ? 0 : sr_min((sr_index)free, ring->capacity);\n")],
        caught_by={"narrow"},
        options="",
    ),
    "WAIT_GIVE_BACK": Variant(
        "nobody is woken for items that return to the ring",
        [("        sr_notify(ring, &ring->consumer, sr_load(&ring->tail));\n", "")],
        model="GIVE_BACK",
        is_wait=True,
        options_of_model="N=3 COUNT=2",
        caught_by={"stress"},
    ),
    "WAIT_HEAD": Variant(
        "the consumer counts what it waits for from a head that may move back",
        [("sr_load(&ring->finished) + sr_load(&ring->evicted) + (sr_index)count);\n",
          "sr_load(&ring->head) + (sr_index)count - ring->claimed_count);\n")],
        model="HEAD",
        is_wait=True,
        options_of_model="N=3 COUNT=2",
        caught_by={"stress"},
    ),
    "WAIT_CLOSE": Variant(
        "closing loads `wanted` too early (as a compiler may do)",
        [("    atomic_store_explicit(&ring->closed, 1,",
          "    sr_index wanted = sr_load(&ring->consumer.wanted);\n    atomic_store_explicit(&ring->closed, 1,"),
         ("sr_notify(ring, &ring->consumer, sr_load(&ring->consumer.wanted));",
          "sr_notify(ring, &ring->consumer, wanted);")],
        model="CLOSE",
        is_wait=True,
        options_of_model="N=3 COUNT=2",
    ),
}


def all_variants():
    return relaxed("".join(read_headers().values())) | OTHERS

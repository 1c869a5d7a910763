/* Sleeping and waking as in spsc.h: "waiting". One side sleeps, the other one goes on and wakes it.
 *
 * Memory is as in spsc.pml: a location is the list of what was stored there, a load reads any message from the
 * thread's view on. All accesses are relaxed. The sleeper's barrier, membarrier(), is one on both sides at once:
 * whatever either has stored or seen is in both views after it.
 *
 * Shown: once the side that wakes has stopped, the sleeper doesn't sleep on while what it waits for is there, or
 * the ring is closed. Without ROOM it is the consumer that waits for items, while the producer pushes, evicts, gives
 * back what its sink refused, and perhaps closes; with ROOM it is the producer that waits for all of a claim to be
 * finished, of which it can't know in what parts.
 *
 *     spin -a wait.pml && cc -O2 -DSAFETY pan.c -o pan && ./pan
 */
#ifndef N
#define N 3 /* items pushed, or finished */
#endif
#ifndef COUNT
#define COUNT 2 /* waited for at once */
#endif
#ifndef EVICTIONS
#define EVICTIONS 1
#endif
#ifdef ROOM
#define IS_THERE(reached, evicted) ((reached) == N)
#else
#define IS_THERE(reached, evicted) ((reached) >= (evicted) + taken + COUNT)
#endif
#define MESSAGES (4 * N + 14)

byte reached_n, reached_is[MESSAGES]; /* the tail, or `finished`; written by the waker */
byte evicted_n, evicted_is[MESSAGES]; /* that part of the head that the producer has moved */
byte gone_n, gone_is[MESSAGES]; /* ... and its sink has taken: `evicted` in the header */
byte closed_n, closed_is[2]; /* by the waker */
byte wanted_n, wanted_is[MESSAGES]; /* by the sleeper */
byte waiting_n, waiting_is[MESSAGES]; /* by both: stored by the sleeper, exchanged by the waker */

/* Views: the sleeper's of what the waker writes, and the other way round. */
byte s_reached, s_evicted, s_gone, s_closed, s_waiting, w_wanted, w_waiting;

byte posted, taken;
bool is_asleep, has_stopped;

#define LOAD(value, view, location) \
    atomic { \
        do \
        :: view < location##_n -> view++ \
        :: break \
        od; \
        value = location##_is[view] \
    }
#define STORE(value, location) atomic { location##_n++; location##_is[location##_n] = value }

/* -- the waker ----------------------------------------------------------------------------------- */

/* Wakes, unless somebody has. The exchange reads the newest message, or one that the sleeper has stored over since. */
inline wake()
{
    atomic {
        do
        :: w_waiting < waiting_n -> w_waiting++
        :: w_waiting == waiting_n || !exchanged[w_waiting + 1] -> break
        od;
        was = waiting_is[w_waiting];
        waiting_n++;
        k = waiting_n;
        do
        :: k > w_waiting + 1 ->
            waiting_is[k] = waiting_is[k - 1];
            exchanged[k] = exchanged[k - 1];
            k--
        :: else -> break
        od;
        waiting_is[k] = 0;
        exchanged[k] = 1;
        s_waiting = (s_waiting > w_waiting -> s_waiting + 1 : s_waiting);
        w_waiting = k;
        k = 0;
        if
        :: was -> posted++
        :: else -> skip
        fi;
        was = 0
    }
}

inline notify(upto)
{
    LOAD(is_waiting, w_waiting, waiting);
    if
    :: is_waiting ->
        LOAD(wants, w_wanted, wanted);
        if
        :: upto >= wants -> wake()
        :: else -> skip
        fi
    :: else -> skip
    fi;
    atomic { is_waiting = 0; wants = 0 }
}

bit exchanged[MESSAGES];

active proctype waker()
{
    byte done, evictions, wants, anyway, k;
    bit is_waiting, was;
    do
    :: done < N ->
        done++;
        STORE(done, reached);
        notify(done)
#ifndef ROOM
    :: evictions < EVICTIONS && done > evicted_is[evicted_n] + taken ->
        evictions++;
        STORE(evicted_is[evicted_n - 1] + 1, evicted);
        if
        :: STORE(gone_is[gone_n - 1] + 1, gone)
        :: STORE(evicted_is[evicted_n - 1] - 1, evicted); /* the sink has failed: give it back */
#ifndef BREAK_GIVE_BACK
            notify(done)
#endif
        fi
    :: true ->
#ifdef BREAK_CLOSE /* what the compiler may do without a fence between */
        LOAD(anyway, w_wanted, wanted);
        STORE(1, closed);
#else
        STORE(1, closed);
        LOAD(anyway, w_wanted, wanted);
#endif
        notify(anyway);
        break
    :: break
#else
    :: done == N -> break
#endif
    od;
    has_stopped = true
}

/* -- the sleeper --------------------------------------------------------------------------------- */

inline look()
{
    LOAD(evicted, s_evicted, evicted);
    LOAD(is_there, s_reached, reached);
    LOAD(is_closed, s_closed, closed);
    is_there = IS_THERE(is_there, evicted);
    evicted = 0
}

inline await()
{
#ifdef ROOM
    LOAD(wanted, s_reached, reached);
    wanted = wanted + 1; /* at least one, and all that was seen is not enough */
#else
#ifdef BREAK_HEAD
    LOAD(wanted, s_evicted, evicted); /* that may be given back */
#else
    LOAD(wanted, s_gone, gone);
#endif
    wanted = wanted + taken + COUNT;
#endif
    STORE(wanted, wanted);
    atomic { STORE(1, waiting); s_waiting = waiting_n };
    wanted = 0;
#ifndef BREAK_BARRIER
    d_step {
        s_reached = reached_n;
        s_evicted = evicted_n;
        s_gone = gone_n;
        s_closed = closed_n;
        s_waiting = waiting_n;
        w_wanted = wanted_n;
        w_waiting = waiting_n
    }
#endif
}

active proctype sleeper()
{
    byte is_there, is_closed, evicted, wanted;
    do
    :: look();
        if
        :: is_there ->
#ifdef ROOM
            break
#else
            atomic {
                if
                :: IS_THERE(reached_is[reached_n], evicted_is[evicted_n]) -> taken = taken + COUNT
                :: else -> s_evicted = evicted_n /* the producer was quicker */
                fi
            }
#endif
        :: !is_there && is_closed -> break
        :: else ->
            await();
#ifdef BREAK_LOOK
            is_there = false; is_closed = false;
#else
            look();
#endif
            if
            :: is_there || is_closed -> atomic { STORE(0, waiting); s_waiting = waiting_n }
            :: else ->
                is_asleep = true;
end:            atomic { posted > 0 -> posted--; is_asleep = false };
                d_step { /* a semaphore orders the two */
                    s_reached = reached_n;
                    s_evicted = evicted_n;
        s_gone = gone_n;
                    s_closed = closed_n;
                    s_waiting = waiting_n
                }
            fi
        fi
    od
}

active proctype accounts()
{
end:
    atomic {
        has_stopped && is_asleep && posted == 0;
        assert(!closed_is[closed_n] && !IS_THERE(reached_is[reached_n], evicted_is[evicted_n]))
    }
}

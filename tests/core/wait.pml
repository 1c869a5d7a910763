/* Sleeping and waking, as spsc.h describes it under "waiting". One side sleeps, and the other one goes on and wakes it.
 *
 * Memory is as in spsc.pml: a location is a list of messages, and a load reads the message of the thread's view or any
 * newer one. All accesses are relaxed. The sleeper's barrier, membarrier(), is a barrier on both sides at once: after
 * it, both views contain all that either side has stored or seen.
 *
 * The search shows that the sleeper does not stay asleep once the side that wakes has stopped, if what the sleeper
 * waits for is there or the ring is closed. Without ROOM the consumer waits for items, while the producer pushes,
 * evicts, returns items that its sink refused, and perhaps closes. With ROOM the producer waits until a claim is
 * finished completely, and it can't know in which parts.
 *
 *     spin -a wait.pml && cc -O2 -DSAFETY pan.c -o pan && ./pan
 */
#ifndef N
#define N 3 /* the items that are pushed, or finished */
#endif
#ifndef COUNT
#define COUNT 2 /* the items that the consumer waits for at once */
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

byte reached_n, reached_is[MESSAGES]; /* the tail, or `finished`; the waker writes it */
byte evicted_n, evicted_is[MESSAGES]; /* the part of the head that the producer has moved */
byte gone_n, gone_is[MESSAGES]; /* the part of those that its sink has taken: `evicted` in the header */
byte closed_n, closed_is[2]; /* the waker writes it */
byte wanted_n, wanted_is[MESSAGES]; /* the sleeper writes it */
byte waiting_n, waiting_is[MESSAGES]; /* both write it: the sleeper stores, the waker exchanges */

/* The sleeper's view of what the waker writes, and the waker's view of what the sleeper writes. */
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

/* Wakes the sleeper unless that was done already. The exchange reads the newest message, or an older one that a store
 * of the sleeper follows. */
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
        :: STORE(evicted_is[evicted_n - 1] - 1, evicted); /* the sink has failed, so the item returns to the ring */
#ifndef BREAK_GIVE_BACK
            notify(done)
#endif
        fi
    :: true ->
#ifdef BREAK_CLOSE /* a compiler may do this if there is no fence between the two */
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
    wanted = wanted + 1; /* at least one more, because all that was seen is not enough */
#else
#ifdef BREAK_HEAD
    LOAD(wanted, s_evicted, evicted); /* the head may move back */
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
                d_step { /* the semaphore synchronises the two sides */
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

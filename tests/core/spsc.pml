/* The protocol of spsc.h in the memory model of C11, for spin to search through.
 *
 * Memory. An atomic location is a list of messages: the values that were stored there, in modification order. A thread
 * has a view, which is for each location the newest message that the thread knows. A load reads this message or any
 * newer one. So a relaxed load may be as stale as C11 allows. A release store carries the view of its thread. An
 * acquire load that reads this store joins that view to its own. A compare-and-swap puts its message directly behind
 * the one that it reads. So it reads the newest message, or one before a plain store that the thread has not seen. A
 * compare-and-swap that fails is a load. Each location has one writer, except the head.
 *
 * The slots are not atomic. Each write of a slot advances the producer's clock, and each read the consumer's. The
 * views contain what a thread knows of the other's clock. A read of a slot must know the last write to it, and a write
 * must know all reads, in whichever order the two happen in the model. Otherwise there is a race, and the item may be
 * torn. The model does not contain loads that read a value which is stored only later (load buffering).
 *
 * The search shows, for every interleaving and every choice of stale messages, failing sinks, runs and stops:
 *   - There is no race. Each item comes to one side only, once and in order, or at the end it is resident, claimed or
 *     pending.
 *   - The consumer sees the end only when nothing can come any more.
 *   - The producer finishes though the consumer may stop for ever at any point. It never blocks, and in one call it
 *     loses no more claims than the ring has items.
 *   - The ring never has more items than its capacity. While there is no consumer, it has exactly the newest ones.
 *
 * An item is its position. Each macro named BREAK_... breaks the protocol, and then spin must find an error.
 *
 *     spin -a -DC=2 -DS=4 -DN=5 spsc.pml && cc -O2 -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 pan.c -o pan && ./pan -m100000
 */
#ifndef C
#define C 1 /* the capacity */
#endif
#ifndef S
#define S 2 /* the slots */
#endif
#ifndef N
#define N 4 /* items pushed */
#endif
#ifndef BLOCK
#define BLOCK 1 /* pushed at once, at most */
#endif
#ifndef CLAIM
#define CLAIM 1 /* claimed at once, at most */
#endif
#ifndef FAILS
#define FAILS 0 /* failures of the sink, at most */
#endif
#ifndef FLUSHES
#define FLUSHES 0
#endif
#ifdef REJECT
#define EVICTS false
#else
#define EVICTS true
#endif

#ifndef LOSSES
#define LOSSES C /* claims that the producer may lose in one call */
#endif

#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define MOST(a, b) ((a) > (b) -> (a) : (b))
#define MESSAGES (3 * N + 2 * FAILS + FLUSHES + 3)

/* -- memory: messages, and the views that they carry ------------------------------------------------ */

byte tail_n, tail_is[MESSAGES], tail_head[MESSAGES], tail_w[MESSAGES];
byte finished_n, finished_is[MESSAGES], finished_head[MESSAGES], finished_r[MESSAGES];
byte head_n, head_is[MESSAGES];
bit head_plain[MESSAGES]; /* this message comes from a plain store, not from a compare-and-swap */
bit closed;
byte closed_tail, closed_head, closed_w;

byte p_head, p_finished, p_r; /* the producer's view */
byte c_tail, c_head, c_w; /* the consumer's view */

byte slot[S], written_at[S], read_at[S], w, r; /* w and r are the clocks */

/* -- the conditions ------------------------------------------------------------------------------- */

bit gone[N];
byte next_spilled, next_popped, done;

inline is_gone(item, next)
{
    assert(!gone[item] && item >= next);
    gone[item] = 1;
    next = item + 1;
}

/* -- the producer --------------------------------------------------------------------------------- */

/* These are as in the header. */
byte tail, limit = C, safe, snapshot_head, snapshot_n_claimed, evicted, pending, pending_count;
byte fails;
bit claimed_ever;

#define FITTING LEAST(safe + S - tail, C)

inline publish(to)
{
    d_step {
        tail = to;
        tail_n++;
        tail_is[tail_n] = tail;
#ifndef BREAK_W1
        tail_head[tail_n] = p_head;
        tail_w[tail_n] = w;
#endif
    }
}

/* Writes and publishes. Both are one step, which hides no race. */
inline write(count)
{
    d_step {
        i = 0;
        do
        :: i < count ->
            assert(p_r >= read_at[(tail + i) % S]);
            w++;
            slot[(tail + i) % S] = tail + i;
            written_at[(tail + i) % S] = w;
            i++
        :: else -> break
        od;
        i = 0
    }
    publish(tail + count)
}

inline load_head()
{
    atomic {
        i = p_head;
        do
        :: i < head_n -> i++
        :: break
        od;
        p_head = i;
        head = head_is[i];
        i = 0
    }
}

/* A strong compare-and-swap: it fails only if it read another value. */
inline swap_head(from, to)
{
    atomic {
#ifdef BREAK_PRODUCER_SWAPS
        won = (head_is[head_n] == from); /* a load and then a store */
        p_head = head_n
    }
    atomic {
        if
        :: won ->
            head_n++;
            head_is[head_n] = to;
            head_plain[head_n] = 1;
            p_head = head_n
        :: else -> skip
        fi
#else
        i = p_head;
        do
        :: i < head_n -> i++
        :: break
        od;
        if
        :: head_is[i] != from -> won = 0
        :: else ->
            i = head_n;
            won = (head_is[i] == from);
            if
            :: won ->
                head_n++;
                head_is[head_n] = to;
                i = head_n
            :: else -> skip
            fi
        fi;
        p_head = i;
        i = 0
#endif
    }
}

inline look()
{
    load_head();
#ifdef BREAK_WAITS
    finished_is[finished_n] + evicted >= head; /* this waits for the consumer */
#endif
    atomic {
        i = p_finished;
        do
        :: i < finished_n -> i++
        :: break
        od;
        p_finished = i;
        finished = finished_is[i];
#ifndef BREAK_R2
        p_head = MOST(p_head, finished_head[i]);
        p_r = MOST(p_r, finished_r[i]);
#endif
        i = 0;
        if
#ifdef BREAK_FINISHED
        :: true ->
#else
        :: finished + evicted >= head ->
#endif
            safe = head;
            snapshot_head = head;
            snapshot_n_claimed = head - evicted
        :: else ->
            if
            :: finished >= snapshot_n_claimed ->
                safe = snapshot_head;
                snapshot_head = head;
                snapshot_n_claimed = head - evicted
            :: else ->
                if
                :: head - evicted == snapshot_n_claimed -> snapshot_head = head
                :: else -> skip
                fi
            fi
        fi;
        if
        :: tail > safe + S -> safe = tail - S
        :: else -> skip
        fi;
        limit = tail + LEAST(FITTING, C - (tail - head));
        finished = 0
    }
}

/* The sink takes `count` items, or fails having taken some of them. */
inline sink(first, count, is_in_slots)
{
    atomic {
        taken = count;
        error = false;
        if
        :: true
        :: fails < FAILS ->
            fails++;
            error = true;
            taken = 0;
            do
            :: taken < count -> taken++
            :: break
            od
        fi;
        i = 0;
        do
        :: i < taken ->
            assert(!is_in_slots || slot[(first + i) % S] == first + i);
            is_gone(first + i, next_spilled);
            i++
        :: else -> break
        od;
        i = 0;
        evicted = evicted + taken
    }
}

inline deliver()
{
    atomic {
        end = pending + pending_count;
        sink(pending, pending_count, true);
        pending = pending + taken;
        pending_count = pending_count - taken
    };
    if
    :: error && pending_count != 0 ->
#ifdef BREAK_GIVE_BACK
        atomic { head_n++; head_is[head_n] = pending; head_plain[head_n] = 1; p_head = head_n; won = 1 }
#else
        swap_head(end, pending);
#endif
        if
        :: won -> pending_count = 0
        :: else -> skip
        fi
    :: else -> skip
    fi;
    end = 0
}

inline evict(count)
{
    swap_head(head, head + count);
    if
    :: won ->
        d_step { pending = head; pending_count = count };
        deliver()
    :: else ->
        claims_lost++;
        assert(claims_lost <= LOSSES)
    fi
}

/* A claim fails only if the consumer has claimed in the meantime, so at most as often as there are items. */
inline make_room(count)
{
    claims_lost = 0;
    error = false;
#ifndef BREAK_PENDING
    if
    :: pending_count != 0 -> deliver()
    :: else -> skip
    fi;
#endif
    do
    :: error -> break
    :: else ->
        look();
        room = limit - tail;
        if
        :: room >= count -> break
        :: else ->
            if
            :: !EVICTS -> error = true
            :: EVICTS && tail == head -> break
            :: else ->
                atomic {
                    excess = tail - head; /* resident */
                    if
                    :: count <= (safe == head -> C : FITTING) -> excess = LEAST(count - (C - excess), excess)
                    :: else -> skip
                    fi
                };
                evict(excess);
                excess = 0
            fi
        fi
    od;
    claims_lost = 0;
    head = 0
}

inline pass(count)
{
    sink(tail, count, false);
#ifdef BREAK_PASS
    publish(tail + taken);
#endif
    d_step {
        head_n++;
#ifdef BREAK_PASS
        head_is[head_n] = tail;
        limit = tail;
#else
        head_is[head_n] = tail + taken;
        limit = tail + taken;
#endif
        head_plain[head_n] = 1;
        p_head = head_n
    };
#ifndef BREAK_PASS
    publish(tail + taken)
#endif
}

inline push(count)
{
    error = false;
    do
    :: count <= limit - tail -> break
    :: else ->
        make_room(count);
        if
        :: error || room >= count -> break
        :: else ->
            pass(count - room);
            if
            :: error -> break
            :: else -> count = room
            fi
        fi
    od;
    if
    :: !error && count != 0 -> write(count)
    :: else -> skip
    fi;
    assert(tail - head_is[head_n] <= C);
    assert(claimed_ever || !EVICTS || fails != 0 || FLUSHES != 0 || tail - head_is[head_n] == LEAST(tail, C));
    d_step { room = 0; taken = 0; won = 0 }
}

inline flush()
{
    error = false;
    if
    :: pending_count != 0 -> deliver()
    :: else -> skip
    fi;
    claims_lost = 0;
    do
    :: error -> break
    :: else ->
        load_head();
        if
        :: tail == head -> break
        :: else -> evict(tail - head)
        fi
    od;
    atomic { head = 0; claims_lost = 0; taken = 0; won = 0 }
}

active proctype producer()
{
    byte count, room, head, finished, excess, taken, end, i, claims_lost, flushes;
    bit won;
    bool error;
    do
    :: tail < N ->
        atomic {
            count = 1;
            do
            :: count < LEAST(BLOCK, N - tail) -> count++
            :: break
            od
        };
        push(count);
        count = 0;
        if
        :: !EVICTS && error -> break /* give up, or try again: there may never be a consumer */
        :: true
        fi
#if FLUSHES
    :: flushes < FLUSHES ->
        flushes++;
        flush()
#endif
    :: tail == N -> break
    od;
    atomic {
        closed = 1;
#ifndef BREAK_W3
        closed_tail = tail_n;
        closed_head = p_head;
        closed_w = w;
#endif
        done++
    }
}

/* -- the consumer --------------------------------------------------------------------------------- */

byte claimed, claimed_count;

inline load_tail()
{
    atomic {
        j = c_tail;
        do
        :: j < tail_n -> j++
        :: break
        od;
        c_tail = j;
        seen_tail = tail_is[j];
#ifndef BREAK_R1
        c_head = MOST(c_head, tail_head[j]);
        c_w = MOST(c_w, tail_w[j]);
#endif
        j = 0
    }
}

/* A weak compare-and-swap: it may fail for no reason. */
inline claim_head(from, to)
{
    atomic {
        j = c_head;
        do
        :: j < head_n -> j++
        :: break
        od;
        if
        :: head_is[j] == from && (j == head_n || head_plain[j + 1]) ->
            /* Put the message behind that one, and so perhaps before stores that are not in the view. */
            head_n++;
            k = head_n;
            do
            :: k > j + 1 ->
                head_is[k] = head_is[k - 1];
                head_plain[k] = head_plain[k - 1];
                k--
            :: else -> break
            od;
            head_is[k] = to;
            head_plain[k] = 0;
            p_head = (p_head > j -> p_head + 1 : p_head);
            closed_head = (closed_head > j -> closed_head + 1 : closed_head);
            k = 0;
            do
            :: k < MESSAGES ->
                tail_head[k] = (tail_head[k] > j -> tail_head[k] + 1 : tail_head[k]);
                finished_head[k] = (finished_head[k] > j -> finished_head[k] + 1 : finished_head[k]);
                k++
            :: else -> break
            od;
            k = 0;
            c_head = j + 1;
            claimed_ever = 1;
            has_claim = 1
        :: else ->
            c_head = j;
            from = head_is[j]
        fi;
        j = 0
    }
}

inline store_head(to)
{
    atomic { head_n++; head_is[head_n] = to; head_plain[head_n] = 1; c_head = head_n; claimed_ever = 1; has_claim = 1 }
}

inline claim()
{
    atomic {
        j = c_head;
        do
        :: j < head_n -> j++
        :: break
        od;
        c_head = j;
        first = head_is[j];
        j = 0
    };
    do
    :: atomic {
            has_claim = 0;
            size = 1;
            do
            :: size < CLAIM -> size++
            :: break
            od
        };
        if
        :: seen_tail < first + size -> load_tail()
        :: else -> skip
        fi;
        if
        :: seen_tail <= first -> break
        :: else -> size = LEAST(size, seen_tail - first)
        fi;
#ifdef BREAK_COPY_FIRST
        read(first, size);
#endif
#ifdef REJECT
        store_head(first + size);
#else
#ifdef BREAK_CONSUMER_SWAPS
        /* A load and then a store. */
        c_head = (head_is[head_n] == first -> head_n : c_head);
        if
        :: c_head == head_n -> store_head(first + size)
        :: else -> first = head_is[head_n]
        fi;
#else
        claim_head(first, first + size);
#endif
#endif
        if
        :: has_claim ->
            d_step { claimed = first; claimed_count = size };
            break
        :: else -> skip
        fi
    od;
    atomic { first = 0; size = 0; has_claim = 0 }
}

/* Reads all items in one step, which hides no race. An item is compared with the slot when it is removed. */
inline read(from, count)
{
    d_step {
        j = 0;
        do
        :: j < count ->
#ifndef BREAK_COPY_FIRST /* there it may read items that it will not get */
            assert(slot[(from + j) % S] == from + j);
#else
            copied[j] = slot[(from + j) % S];
#endif
            assert(c_w >= written_at[(from + j) % S]);
            r++;
            read_at[(from + j) % S] = r;
            j++
        :: else -> break
        od;
        j = 0
    }
}

inline finish(count)
{
    d_step {
        j = 0;
        do
        :: j < count ->
            is_gone(claimed + j, next_popped);
            j++
        :: else -> break
        od;
        j = 0;
        claimed = claimed + count;
        claimed_count = claimed_count - count;
        finished_n++;
        finished_is[finished_n] = finished_is[finished_n - 1] + count;
#ifndef BREAK_W2
        finished_head[finished_n] = c_head;
        finished_r[finished_n] = r;
#endif
    }
}

active proctype consumer()
{
    byte seen_tail, first, size, part, j, k;
    bit has_claim;
#ifdef BREAK_COPY_FIRST
    byte copied[CLAIM];
#endif
    do
    :: goto stopped
    :: claimed_count == 0 ->
        claim();
        if
        :: claimed_count == 0 ->
            /* This is sr_spsc_has_ended. */
            if
            :: closed ->
                atomic {
#ifndef BREAK_R3
                    c_tail = MOST(c_tail, closed_tail);
                    c_head = MOST(c_head, closed_head);
                    c_w = MOST(c_w, closed_w);
#endif
                    j = c_head;
                    do
                    :: j < head_n -> j++
                    :: break
                    od;
                    c_head = j;
                    first = head_is[j];
                    j = 0
                };
                atomic {
                    j = c_tail; /* a relaxed load */
                    do
                    :: j < tail_n -> j++
                    :: break
                    od;
                    c_tail = j;
                    if
                    :: tail_is[j] <= first ->
                        assert(claimed_count == 0 && head_is[head_n] == tail_is[tail_n]);
                        goto stopped
                    :: else -> skip
                    fi;
                    first = 0;
                    j = 0
                }
            :: true -> skip
            fi
        :: else -> skip
        fi
    :: claimed_count != 0 ->
        atomic {
            part = 1;
            do
            :: part < claimed_count -> part++
            :: break
            od
        };
#ifdef BREAK_FINISH_FIRST
        finish(part);
        read(claimed - part, part);
#else
#ifndef BREAK_COPY_FIRST
        atomic { read(claimed, part); finish(part) }
#else
        finish(part);
#endif
#endif
        part = 0
    od;
stopped:
    atomic { seen_tail = 0; first = 0; size = 0; part = 0; j = 0; done++ }
}

/* -- at the end each item is in one place ------------------------------------------------------------ */

active proctype accounts()
{
    byte item;
    bool is_there;
    done == 2;
    d_step {
        do
        :: item < tail ->
            is_there = item >= head_is[head_n];
            is_there = is_there || (item >= claimed && item < claimed + claimed_count);
            is_there = is_there || (item >= pending && item < pending + pending_count);
            assert(gone[item] != is_there);
            item++
        :: else -> break
        od
    }
}

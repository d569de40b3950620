/* append.pml: a model of appending: the turn, publishing the tail, and what the next one repairs.
 *
 * It follows csrc/turn.c, csrc/log.c (log_begin, log_append, repair), csrc/control.c (a number and
 * its complement) and csrc/lock.c (the gate), load by load and store by store; the name of the C
 * function stands beside its steps. What only the holder of the turn writes, and reads, is read in
 * one step. Threads of one process share its byte lock, as the kernel has it, and pass a gate
 * first. A process may be killed before any step, KILLS times in all: the kernel frees its lock,
 * and nothing else. A write may fail half way, ERRORS times in all, and so may the zeroing after.
 *
 * Promises:
 *   - one thread of one process is inside at a time;
 *   - whoever reads the tail without the turn finds only whole frames before it, and never a
 *     smaller tail than before;
 *   - a frame is written into zeros, and one that was acknowledged is never touched again and is
 *     before the tail at the end; one whose append failed never gets there;
 *   - no two frames of the log have the same id;
 *   - kills alone never make the page one that can't be believed (it would be poisoned);
 *   - nobody waits for ever. Without a kill no time-out is needed: sleeps end by being woken only.
 *     After a kill whoever waits for the turn may wake by himself (the slices of wait_for_byte);
 *   - a worker that sleeps without any time-out finds every frame, also one whose writer was killed
 *     after it was written: he was woken before the write, and queues for the turn, which begins
 *     with the repair (commit.h).
 *
 * Left out: LSNs of more than four segments and frames of other sizes (each append meets the same
 * steps again: what is new is a segment that begins, and that happens); the spare, lock_timeout and
 * signals (they only end a wait, or an append before its write); poison (sync.pml); trimming
 * and power cuts and reopening (tests/sim); processes that stand still (no wait of this
 * model ends because of time); memory that is not sequentially consistent: a number's halves are
 * stored with release and loaded with acquire, in opposite orders, and the other words are seq_cst.
 *
 * An LSN counts units: a segment has a header of 1 and room for 2 frames of 2, since a write that
 * is cut short leaves a part of a frame. A half frame holds the number of its frame; 0: zeros.
 */
#ifndef THREADS
#define THREADS 2 /* that write */
#endif
#ifndef SHARING
#define SHARING 0 /* so many of them, the first, are of one process; the others are alone */
#endif
#ifndef APPENDS
#define APPENDS 2 /* of each thread */
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef ERRORS
#define ERRORS 0
#endif
#ifndef READS
#define READS 0 /* of the tail, by a process that only looks; 0: there is none */
#endif
#ifndef WORKERS
#define WORKERS 0 /* 1: a process that sleeps until there is something, and is not killed */
#endif

#define ALL (THREADS + WORKERS)
#define PROCESS(thread) (thread < SHARING -> 0 : thread)
#define FRAMES (THREADS * APPENDS)
#define LIMIT 5 /* of a segment */
#define SEGMENTS 4
#define OLDER(number) (number.value < number.check -> number.value : number.check)
#define NEXT(tail, base) (tail <= base -> base + 1 : tail)
#define BIT(thread) (1 << (thread))
#define BEFORE_FRAME 1
#define FREE 0
#define HELD 1
#define WAITED_FOR 2

typedef number_t { byte value; byte check }

/* The page. */
number_t tail, head, zeroed, next_id;
byte dirty;
byte append_word, append_sleepers, work_word, work_sleepers;

/* The disk: what is written, and which segments have a name. */
byte cell[LIMIT * SEGMENTS];
bool file[SEGMENTS];

/* The kernel. */
byte lock;          /* the process that has the byte APPEND, plus 1; 0: nobody */
byte asleep_append; /* bits of the threads that sleep on a word */
byte asleep_work;
byte asleep_gate;

/* Each process, by the number of its first thread. */
byte gate[ALL];
byte seen_tail[ALL];
bool killed[ALL];

/* What nobody knows but the model. */
byte kills, errors, inside, ended;
bool acked[FRAMES + 1], failed[FRAMES + 1];
byte id_of[FRAMES + 1];
byte owner[FRAMES + 2]; /* the frame that got an id */
byte consumed = 1;      /* the worker has seen everything before it */

#define WHOLE(at) (cell[at] != 0 && cell[at] == cell[at + 1])

/* control_write_number(): a value first, its complement after it. */
#ifdef FAULT_CHECK_FIRST
#define write_number(number, to) number.check = to; number.value = to
#else
#define write_number(number, to) number.value = to; number.check = to
#endif

/* Every frame before `end` is whole. */
inline expect_whole(end)
{
    d_step {
        i = 0;
        do
        :: i + LIMIT > LIMIT * SEGMENTS || i >= end -> break
        :: else ->
            assert(file[i / LIMIT]);
            j = i + 1;
            do
            :: j + 1 >= i + LIMIT || j >= end -> break
            :: else ->
                assert(j + 2 <= end && WHOLE(j) && !failed[cell[j]]);
                assert(owner[id_of[cell[j]]] == 0 || owner[id_of[cell[j]]] == cell[j]);
                owner[id_of[cell[j]]] = cell[j];
                j = j + 2
            od;
            i = i + LIMIT
        od;
        i = 0;
        j = 0
    }
}

/* ---- sleeping and waking: a wake reaches one of those who sleep ---- */

inline wake_one(asleep)
{
    atomic {
        if
        :: asleep & BIT(0) -> asleep = asleep & ~BIT(0)
        :: asleep & BIT(1) -> asleep = asleep & ~BIT(1)
        :: asleep & BIT(2) -> asleep = asleep & ~BIT(2)
        :: asleep & BIT(3) -> asleep = asleep & ~BIT(3)
        :: asleep == 0
        fi
    }
}

/* futex_wait() with a slice: it ends by itself only after somebody was killed. */
inline sleep_for_turn(expected)
{
    atomic {
        if
        :: append_word == expected -> asleep_append = asleep_append | BIT(me)
        :: else
        fi
    }
    if
    :: atomic { !(asleep_append & BIT(me)) -> skip }
    :: atomic { kills > 0 -> asleep_append = asleep_append & ~BIT(me) }
    fi
}

/* ---- lock.c: the gate ---- */

inline gate_take()
{
    do /* the first exchange stands for gate_try() too: it finds FREE or not */
    :: atomic {
            if
            :: gate[own] == FREE -> gate[own] = HELD; break
            :: else -> gate[own] = WAITED_FOR
            fi
        }
        do
        :: atomic {
                if
                :: gate[own] == WAITED_FOR -> asleep_gate = asleep_gate | BIT(me)
                :: else
                fi
            }
            atomic { !(asleep_gate & BIT(me)) -> skip }
            atomic {
                if
                :: gate[own] == FREE -> gate[own] = WAITED_FOR; break
                :: else -> gate[own] = WAITED_FOR
                fi
            }
        od;
        break
    od
}

inline gate_give()
{
    atomic { old = gate[own]; gate[own] = FREE }
    if
    :: old == WAITED_FOR -> wake_one(asleep_gate)
    :: else
    fi;
    old = 0
}

/* ---- turn.c ---- */

/* The kernel gives it again to the process that has it. */
inline try_byte()
{
    atomic {
        if
        :: lock == 0 || lock == own + 1 -> lock = own + 1; got = true
        :: else -> got = false
        fi
    }
}

/* Counted in and `seen` read before the last try: whoever gives back after it finds a sleeper. */
inline sleep_for_byte()
{
    append_sleepers++;
#ifdef FAULT_SEEN_LATE
    try_byte();
    seen = append_word;
#else
    seen = append_word;
    try_byte();
#endif
    if
    :: !got -> sleep_for_turn(seen)
    :: else
    fi;
    append_sleepers--;
    seen = 0
}

inline turn_take()
{
#ifndef FAULT_NO_GATE
    if
    :: own < SHARING -> gate_take()
    :: else
    fi;
#endif
    try_byte();
    do /* wait_for_byte() */
    :: got -> break
    :: else -> sleep_for_byte()
    od;
    atomic {
        got = false;
        assert(inside == 0);
        inside = me + 1
    }
    log_begin()
}

inline turn_give()
{
    atomic { lock = 0; inside = 0; acked[frame] = done; frame = 0; done = false }
    if
    :: append_sleepers > 0 ->
        append_word++;
        wake_one(asleep_append)
    :: else
    fi;
#ifndef FAULT_NO_GATE
    if
    :: own < SHARING -> gate_give()
    :: else
    fi
#endif
}

/* control_wake_all(), of the words that are here. */
inline wake_all()
{
    work_word++;
    asleep_work = 0;
    append_word++;
    asleep_append = 0
}

/* ---- log.c ---- */

/* segment_zero(), by the writer or by whoever repairs. */
inline zero(from, to)
{
    at = from;
    do
    :: at >= to -> break
    :: else ->
        assert(!acked[cell[at]]);
        cell[at] = 0;
        at++
    od;
    at = 0
}

/* find_head(), find_new_head(): the dead writer may just have made a segment. */
inline find_head()
{
    d_step {
        base = OLDER(head);
        end = NEXT(tail.check, base)
    }
    if
    :: end % LIMIT == 0 && file[end / LIMIT] ->
        base = end;
        write_number(head, base);
        write_number(zeroed, base + 1)
    :: else
    fi;
    end = NEXT(tail.check, base)
}

/* accept_frames(), and accept() of turn.c: ids are published before the frame counts. */
inline accept_frames()
{
    do
    :: end + 1 < base + LIMIT && WHOLE(end) ->
        new_id = OLDER(next_id);
        if
        :: id_of[cell[end]] + 1 > new_id -> new_id = id_of[cell[end]] + 1
        :: else
        fi;
        write_number(next_id, new_id);
        end = end + 2
    :: else -> break
    od;
    new_id = 0
}

inline repair()
{
    /* control_tail(): of a half written number the older one stands. */
    atomic {
        assert(tail.check >= seen_tail[own]);
        seen_tail[own] = tail.check
    }
    find_head();
    assert(dirty <= end || dirty - end <= 2);
    accept_frames();
#ifndef FAULT_NO_ZEROING
    if
    :: dirty > end -> zero(end, dirty)
    :: else
    fi;
#endif
    write_number(head, base);
    if
    :: OLDER(zeroed) < base + 1 -> write_number(zeroed, base + 1)
    :: else -> write_number(zeroed, OLDER(zeroed))
    fi;
    if
    :: end > base + 1 -> write_number(tail, end)
    :: else -> write_number(tail, tail.check)
    fi;
    dirty = 0;
    wake_all() /* begin() of turn.c */
}

/* What it expects of the page, else it poisons the log. */
inline log_begin()
{
#ifndef FAULT_NO_REPAIR
    if
    :: dirty != 0 -> repair()
    :: else
    fi;
#endif
    d_step {
        assert(tail.value == tail.check && head.value == head.check);
        assert(zeroed.value == zeroed.check && next_id.value == next_id.check);
        assert(tail.value >= seen_tail[own]);
        assert(zeroed.value >= tail.value && zeroed.value >= head.value + 1);
        seen_tail[own] = tail.value;
        base = head.value;
        end = 0
    }
}

/* make_room(), log_add_head(), publish_head(), zero_ahead() */
inline make_room()
{
    end = NEXT(tail.value, base);
    if
    :: end - base + 2 > LIMIT ->
        base = end;
        assert(!file[base / LIMIT]);
        file[base / LIMIT] = true; /* segment_create(): a rename */
        write_number(head, base);
        write_number(zeroed, base + 1);
        write_number(tail, base);
        end = base + 1
    :: else
    fi;
    if
    :: zeroed.value < end + 2 -> write_number(zeroed, base + LIMIT)
    :: else
    fi
}

/* write_frame() once it has failed, and undo(), which may fail as well */
inline undo()
{
    failed[frame] = true;
    if
    :: zero(end, end + 2); dirty = 0
    :: errors < ERRORS -> errors++
    fi
}

inline publish_ids()
{
    write_number(next_id, id_of[frame] + 1)
}

inline publish_tail()
{
    write_number(tail, end + 2)
}

/* tell_others() of commit.c: one of those who have something to do. */
inline tell_others()
{
    work_word++;
    if
    :: work_sleepers > 0 -> wake_one(asleep_work)
    :: else
    fi
}

inline log_append()
{
#ifndef FAULT_NO_DIRTY
    dirty = BEFORE_FRAME;
#endif
    make_room();
#if !defined(FAULT_NO_DIRTY) && !defined(FAULT_DIRTY_LATE)
    dirty = end + 2;
#endif
#ifdef FAULT_PUBLISH_BEFORE_WRITE
    publish_tail();
#endif
    atomic { assert(cell[end] == 0 || failed[cell[end]]); cell[end] = frame }
    if
    :: errors < ERRORS -> errors++; undo()
    :: atomic { assert(cell[end + 1] == 0); cell[end + 1] = frame }
#ifdef FAULT_DIRTY_LATE
        dirty = end + 2;
#endif
#ifdef FAULT_UNLOCK_BEFORE_PUBLISH
        atomic { lock = 0; inside = 0 }
#endif
#ifdef FAULT_CLEAN_BEFORE_PUBLISH
        dirty = 0;
#endif
#ifndef FAULT_IDS_LATE
        publish_ids();
#endif
#ifndef FAULT_PUBLISH_BEFORE_WRITE
        publish_tail();
#endif
        seen_tail[own] = end + 2;
        dirty = 0;
#ifdef FAULT_IDS_LATE
        publish_ids();
#endif
        done = true
    fi;
    end = 0
}

/* commit_begin(), commit_frame(), commit_end() */
inline append_one()
{
    turn_take();
    d_step {
        frame = me * APPENDS + count + 1;
        id_of[frame] = OLDER(next_id)
    }
#ifndef FAULT_WAKE_LATE
    tell_others(); /* before the write: see commit.h */
#endif
    log_append();
    base = 0;
    turn_give();
#ifdef FAULT_WAKE_LATE
    tell_others();
#endif
    count++
}

/* ---- the processes ---- */

proctype Writer(byte me; byte own)
{
    byte seen, base, end, at, frame, new_id, count, old;
    bool got, done;
    {
        do
        :: count < APPENDS -> append_one()
        :: else -> break
        od;
        ended++
    } unless {
        killed[own];
        ended++
    }
}

/* quplog_work(): it takes what it finds, and sleeps when there is nothing new. */
proctype Worker(byte me; byte own)
{
    byte seen, base, end, at, frame, new_id, old, i, j;
    bool got, done, news;
    do
    :: turn_take();
        expect_whole(tail.value);
        base = 0;
        news = tail.value > consumed;
        consumed = tail.value;
#ifdef FAULT_LOOK_THEN_READ
        turn_give();
        seen = work_word;
#else
        seen = work_word; /* take_turn(): in the turn, as those who wake are */
        turn_give();
#endif
        if
        :: news -> news = false
        :: else ->
            work_sleepers++; /* control_sleep(), without a time-out */
            atomic {
                if
                :: work_word == seen -> asleep_work = asleep_work | BIT(me)
                :: else
                fi
            }
            end_of_work:
            atomic { !(asleep_work & BIT(me)) -> skip }
            work_sleepers--
        fi;
        seen = 0
    od
}

/* Somebody without the turn: control_tail(), read_growing(), half_written(). It reads the
 * complement first and the value after it: so what it returns was whole when it was read. */
proctype Reader()
{
    byte before, value, check, count, i, j;
    do
    :: count < READS ->
        check = tail.check;
        value = tail.value;
        if
        :: value == check
        :: else ->
            check = tail.check;
            value = tail.value;
            assert(value >= check);
            value = check
        fi;
        assert(value >= before);
        expect_whole(value);
        atomic { before = value; value = 0; check = 0; count++ }
    :: else -> break
    od
}

/* kill -9, of any process that writes, at any time. */
proctype Killer()
{
    byte p;
    do
    :: kills < KILLS ->
        atomic {
            select(p : 0 .. THREADS - 1);
            if
            :: p < SHARING -> p = 0
            :: else
            fi;
            if
            :: killed[p] -> skip
            :: else ->
                killed[p] = true;
                kills++;
                if
                :: lock == p + 1 -> lock = 0; inside = 0
                :: else
                fi;
                if
                :: p < SHARING ->
                    asleep_append = asleep_append & ~(BIT(SHARING) - 1);
                    asleep_gate = 0
                :: else -> asleep_append = asleep_append & ~BIT(p)
                fi
            fi;
            p = 0
        }
    :: break
    od
}

/* When nobody can do anything any more. */
active proctype Judge()
{
    byte i, j;
    timeout;
    assert(ended == THREADS); /* nobody waits for ever */
    expect_whole(tail.check);
#if WORKERS
    assert(consumed == tail.check);
    i = NEXT(tail.check, OLDER(head));
    assert(!WHOLE(i)); /* also what a dead writer had written */
#endif
    i = 1;
    do
    :: i > FRAMES -> break
    :: else ->
        j = 0;
        do
        :: !acked[i] -> break
        :: acked[i] && cell[j] == i -> break
        :: acked[i] && cell[j] != i -> j++; assert(j < tail.check)
        od;
        i++
    od
}

init
{
    byte t;
    atomic {
        tail.value = 1; tail.check = 1;
        zeroed.value = 1; zeroed.check = 1;
        next_id.value = 1; next_id.check = 1;
        file[0] = true;
        t = 0;
        do
        :: t < THREADS -> run Writer(t, PROCESS(t)); t++
        :: else -> break
        od;
#if WORKERS
        run Worker(THREADS, THREADS);
#endif
#if READS
        run Reader();
#endif
        run Killer();
        t = 0
    }
}

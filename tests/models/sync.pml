/* sync.pml: a model of group commit: who leads, who follows, and what a failed sync does to both.
 *
 * It follows csrc/sync.c (sync_to, try_to_lead, lead, follow, end_round), csrc/log.c (log_flush,
 * flush_file), csrc/control.c (a number and its complement, control_fail) and the words of
 * csrc/control.h, load by load and store by store; the name of the C function stands beside its
 * steps. Each thread appends and then waits until that is durable. Threads of one process share
 * its byte lock and pass a mutex first. A process may be killed before any step, KILLS times in
 * all. The kernel may fail to write what is dirty, ERRORS times in all: what could not be written
 * is clean from then on and lost at a power cut, and fdatasync() says so once, to who comes first
 * (Linux tells other descriptors too, but not those that are opened later).
 *
 * Promises:
 *   - what was acknowledged is durable: its frame and all before it, and the names of their files;
 *   - nothing is acknowledged that the kernel has lost, whoever syncs next;
 *   - `synced` never goes back;
 *   - a wait ends: with an acknowledgement, or with a failure if the log is poisoned. Without a kill
 *     no time-out is needed: sleeps end by being woken only. After a kill whoever sleeps may wake by
 *     himself (the slices of sync_to).
 *
 * NOT promised, and so excluded unless LIMIT is defined: that a failed sync is known if the process
 * that was told of it is killed before it has told the others (lead(), between fdatasync() and the
 * poison): who leads next, with a file that he opens only then, is told nothing by the kernel.
 *
 * Left out: how a frame is written (append.pml: here it is one step, and a frame that is written but
 * not published is acknowledged to nobody); the marker file and who opens the log next (tests/sim);
 * what was trimmed (it had been synced); -EMFILE and no memory (the wait is then like one for another
 * leader); signals (they end a wait early, with no acknowledgement); the flusher (one more thread
 * that waits); memory that is not sequentially consistent (see append.pml).
 *
 * An LSN is the number of frames before it; a segment holds PER of them. Rounds are counted mod 4
 * instead of 8: who sleeps has the bit of this round or of the next.
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef SHARING
#define SHARING 0 /* so many of them, the first, are of one process; the others are alone */
#endif
#ifndef APPENDS
#define APPENDS 1 /* of each thread */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef ERRORS
#define ERRORS 0
#endif
#ifndef PER
#define PER 2
#endif

#define PROCESS(thread) (thread < SHARING -> 0 : thread)
#define FRAMES (THREADS * APPENDS)
#define SEGMENTS (FRAMES / PER + 1)
#define OLDER(number) (number.value < number.check -> number.value : number.check)
#define ROUND(number) ((number) & 3)
#define AWAKE 0
#define SLEEP(round) (1 + ROUND(round))

mtype = { NOTHING, DIRTY, DURABLE, LOST } /* a frame, as the disk has it */
mtype = { OK, AGAIN, FAILED }             /* what a function returns */

typedef number_t { byte value; byte check }

/* The page. */
byte tail, word, sleepers, target, round;
number_t synced;
bool poisoned;

/* The kernel: frames, files, and whether somebody is still to be told of an error. */
mtype frame[FRAMES];
bool named[SEGMENTS]; /* the directory entry is durable */
bool in_error[SEGMENTS];
byte lock;            /* the process that has the byte SYNC, plus 1; 0: nobody */
byte asleep[THREADS]; /* AWAKE, or the round that the thread sleeps for */

/* Each process, by the number of its first thread. */
bool mutex[THREADS];
bool killed[THREADS];
bool failing[THREADS]; /* it has been told of an error, and has yet to tell the others */

/* What nobody knows but the model. */
byte kills, errors, ended;

/* control_write_number(): a value first, its complement after it. */
#ifdef FAULT_CHECK_FIRST
#define write_number(number, to) number.check = to; number.value = to
#else
#define write_number(number, to) number.value = to; number.check = to
#endif

/* ---- the kernel ---- */

inline wake_all_but(next)
{
    d_step {
        i = 0;
        do
        :: i < THREADS ->
            if
            :: asleep[i] != next -> asleep[i] = AWAKE
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

inline wake_one_of(next)
{
    atomic {
        if
        :: asleep[0] == next -> asleep[0] = AWAKE
        :: asleep[1] == next -> asleep[1] = AWAKE
#if THREADS > 2
        :: asleep[2] == next -> asleep[2] = AWAKE
#endif
        :: else
        fi
    }
}

/* fdatasync() of what is dirty now; nothing of it is left to do twice. */
inline fdatasync(s)
{
    d_step {
        if
        :: in_error[s] ->
            in_error[s] = false;
            failing[own] = true;
            status = FAILED
        :: else ->
            i = s * PER;
            do
            :: i < FRAMES && i < (s + 1) * PER ->
                if
                :: frame[i] == DIRTY -> frame[i] = DURABLE
                :: else
                fi;
                i++
            :: else -> break
            od;
            i = 0
        fi
    }
}

/* ---- log.c ---- */

inline log_flush()
{
    at = from;
    do
    :: status == OK && at < to ->
        created = created || (at / PER) * PER >= from;
        fdatasync(at / PER);
        at = ((at / PER + 1) * PER < to -> (at / PER + 1) * PER : to);
#ifdef FAULT_FIRST_FILE_ONLY
        at = to
#endif
    :: else -> break
    od;
#ifndef FAULT_NO_DIRECTORY
    if
    :: status == OK && created ->
        d_step {
            i = 0;
            do
            :: i < SEGMENTS -> named[i] = named[i] || tail > i * PER; i++
            :: else -> break
            od;
            i = 0
        }
    :: else
    fi;
#endif
    atomic { at = 0; created = false }
}

/* ---- sync.c ---- */

/* sync_poison(), control_fail() */
inline poison()
{
    atomic { poisoned = true; failing[own] = false }
    word++;
    wake_all_but(AWAKE)
}

inline lead()
{
    from = OLDER(synced);
    to = tail;
#ifndef FAULT_POISON_NOT_SEEN
    if
    :: poisoned -> status = FAILED
    :: else
    fi;
#endif
    if
    :: status == OK && from < to ->
        atomic { target = to; round = ROUND(round + 1) } /* begin_round(): one number of 64 bits */
#ifdef FAULT_PUBLISH_BEFORE_SYNC
        write_number(synced, to);
#endif
        log_flush();
#ifdef FAULT_TAIL_AFTER_SYNC
        to = tail;
#endif
#ifdef FAULT_FAILED_SYNC_IS_REPEATED
        failing[own] = false;
        status = (status == FAILED -> AGAIN : status);
#endif
        if
        :: status == FAILED -> poison()
        :: else
        fi;
        if
#ifdef FAULT_POISON_NOT_SEEN
        :: status == OK ->
#else
        :: poisoned -> status = FAILED
        :: !poisoned && status == OK ->
#endif
            assert(synced.value <= to || synced.check <= to);
            write_number(synced, to)
        :: else
        fi
    :: else
    fi;
    atomic { from = 0; to = 0 }
}

inline give_back()
{
    lock = 0;
    mutex[own] = false
}

/* Those who were served, and one of those who were not. */
inline end_round()
{
    next = SLEEP(round + 1);
    word++;
    if
    :: sleepers > 0 -> wake_all_but(next)
    :: else
    fi;
#ifndef FAULT_NEXT_NOT_WOKEN
    if
    :: sleepers > 0 -> wake_one_of(next)
    :: else
    fi;
#endif
    next = 0
}

inline try_to_lead()
{
    told = word;
    atomic {
        if
        :: mutex[own] -> status = AGAIN
        :: else -> mutex[own] = true; status = OK
        fi
    }
    if
    :: status == OK ->
        atomic { /* lock_try() */
            if
#ifndef FAULT_NO_LOCK
            :: lock != 0 && lock != own + 1 -> status = AGAIN
#endif
            :: else -> lock = own + 1
            fi
        }
        if
        :: status == OK ->
            lead();
#ifdef FAULT_WAKE_THEN_UNLOCK
            end_round();
            give_back()
#else
            give_back();
            end_round()
#endif
        :: else ->
            mutex[own] = false;
#ifndef FAULT_MUTEX_HIDES_THE_END
            if
            :: word != told -> end_round() /* the mutex may have kept somebody from leading */
            :: else
            fi
#endif
        fi
    :: else
    fi;
    told = 0
}

/* control_synced(): of a number that is half written the older one stands. */
inline read_synced()
{
    check = synced.check;
    value = synced.value;
    atomic {
        assert(value >= check);
        value = check;
        check = 0;
        assert(value >= before);
        before = value
    }
}

/* bit_to_wait_for(), control_sleep() for a slice: it ends by itself only after somebody was killed. */
inline sleep()
{
    next = (lsn <= target -> SLEEP(round) : SLEEP(round + 1)); /* one load */
    sleepers++;
    atomic {
        if
        :: word == seen -> asleep[me] = next
        :: else
        fi
    }
    if
    :: atomic { asleep[me] == AWAKE -> skip }
    :: atomic { kills > 0 -> asleep[me] = AWAKE }
    fi;
    atomic { sleepers--; next = 0 }
}

inline follow()
{
    read_synced();
    if
    :: value >= lsn || poisoned
    :: else -> sleep()
    fi
}

inline sync_to()
{
    do
    :: read_synced();
        if
        :: value >= lsn -> status = OK; break
        :: else
        fi;
#ifndef FAULT_POISON_NOT_SEEN
        if
        :: poisoned -> status = FAILED; break
        :: else
        fi;
#endif
#ifdef FAULT_SEEN_LATE
        try_to_lead();
        seen = word;
#else
        seen = word;
        try_to_lead();
#endif
        if
        :: status == FAILED -> break
        :: status == AGAIN -> follow()
        :: else
        fi;
        seen = 0
    od;
    seen = 0
}

/* ---- the processes ---- */

inline expect_durable(end)
{
    d_step {
        i = 0;
        do
        :: i < end -> assert(frame[i] == DURABLE && named[i / PER]); i++
        :: else -> break
        od;
        i = 0
    }
}

proctype Waiter(byte me; byte own)
{
    byte lsn, seen, told, from, to, at, value, check, before, next, count, i;
    bool created;
    mtype status = OK;
    {
        do
        :: count < APPENDS && status == OK ->
            if
            :: poisoned -> status = FAILED
            :: else ->
                atomic { frame[tail] = DIRTY; tail++; lsn = tail } /* log_append() */
                sync_to();
                atomic {
                    if
                    :: status == OK -> expect_durable(lsn)
                    :: else -> assert(poisoned)
                    fi;
                    lsn = 0
                }
            fi;
            count++
        :: else -> break
        od;
        ended++
    } unless {
        killed[own];
        ended++
    }
}

/* The kernel writes back on its own, or in somebody's fdatasync(), and can't. */
proctype Disk()
{
    byte s, i;
    do
    :: errors < ERRORS ->
        atomic {
            select(s : 0 .. SEGMENTS - 1);
            i = s * PER;
            do
            :: i < FRAMES && i < (s + 1) * PER ->
                if
                :: frame[i] == DIRTY ->
                    frame[i] = LOST;
                    in_error[s] = true
                :: else
                fi;
                i++
            :: else -> break
            od;
            errors++;
            s = 0;
            i = 0
        }
    :: break
    od
}

/* kill -9, of any process, at any time. */
proctype Killer()
{
    byte p, i;
    do
    :: kills < KILLS ->
        atomic {
            select(p : 0 .. THREADS - 1);
            p = PROCESS(p);
            if
            :: killed[p]
#ifndef LIMIT
            :: failing[p]
#endif
            :: else ->
                killed[p] = true;
                kills++;
                i = 0;
                do
                :: i < THREADS ->
                    if
                    :: PROCESS(i) == p -> asleep[i] = AWAKE
                    :: else
                    fi;
                    i++
                :: else -> break
                od;
                if
                :: lock == p + 1 -> lock = 0
                :: else
                fi
            fi;
            p = 0;
            i = 0
        }
    :: break
    od
}

/* When nobody can do anything any more. */
active proctype Judge()
{
    byte end, i;
    timeout;
    assert(ended == THREADS); /* nobody waits for ever */
    end = OLDER(synced);
    expect_durable(end)
}

init
{
    byte t;
    atomic {
        t = 0;
        do
        :: t < FRAMES -> frame[t] = NOTHING; t++
        :: else -> break
        od;
        named[0] = true;
        t = 0;
        do
        :: t < THREADS -> run Waiter(t, PROCESS(t)); t++
        :: else -> break
        od;
        run Disk();
        run Killer();
        t = 0
    }
}

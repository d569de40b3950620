/* compact.pml: a model of rotation and compaction, of who follows meanwhile, and of a power cut.
 *
 * It follows csrc/compact.c (go_on, copy_candidates, leave_segment), csrc/commit.c (commit_trim),
 * csrc/files.c (files_trim), csrc/log.c (log_add_head, log_flush, log_follow), csrc/follow.c
 * (follow_view, build, build_once) and csrc/chain.c (chain_open, chain_whole) step by step; the
 * name of the C function stands beside its steps. One process puts jobs, ends some and syncs when
 * it likes, one compacts and may be killed before any step, KILLS times in all, so that another
 * begins anew, and one keeps a table of its own (unless LOOKS is 0). At any moment the power may
 * fail (unless CUTS is 0).
 *
 * Promises:
 *   - after a power cut the log is whole from where its last TRIM says, whichever of the unlinked
 *     segments are there again: each job is there whose PUT was durable, and none comes back whose
 *     end was durable;
 *   - whoever follows has, whenever he looks, just the jobs of the log up to the tail that he saw,
 *     although segments go while he reads them;
 *   - he builds his table anew only as often as segments go.
 *
 * Left out: how frames are written, and by whom (append.pml: here that is one step, and so is a
 * rotation, since a segment without a frame is no part of the log); who syncs, and failing syncs
 * (sync.pml); sectors that survive out of order (tests/sim); when a lap begins; leftovers of others
 * and lost headers (tests/sim, prove_corruption.c). A job that has ended is forgotten at once.
 *
 * An LSN is the number of frames before it; a segment holds PER of them.
 */
#ifndef JOBS
#define JOBS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef LAPS
#define LAPS 2 /* segments that are left */
#endif
#ifndef LOOKS
#define LOOKS 0 /* of who follows */
#endif
#ifndef CUTS
#define CUTS 1
#endif
#ifndef PER
#define PER 2
#endif
#ifndef FRAMES
#define FRAMES 8 /* the disk is full then */
#endif

#define SEGMENTS (FRAMES / PER)
#define SEGMENT(lsn) ((lsn) / PER)
#define HEAD SEGMENT(tail - 1)

mtype = { NONE, PUT, COPY, FINISH, TRIM }
mtype = { UNKNOWN, PENDING, ENDED }

/* The log: what stands in it, and how far it is durable. */
mtype kind[FRAMES];
byte about[FRAMES]; /* the job; of a TRIM the first segment that counts */
byte tail, durable;

/* The directory: which files it has, and which names are durable. */
bool present[SEGMENTS], named[SEGMENTS];

/* The page, and the table of who is up to date. */
byte first_segment;
byte put_at[JOBS + 1]; /* where its PUT or COPY stands, plus 1; 0: the job is not there */

/* What was written where. */
byte enqueued_at[JOBS + 1], finished_at[JOBS + 1]; /* plus 1; 0: not */

byte kills = KILLS;
byte gone; /* so many segments were removed */

/* commit_frame() and log_append(), with the turn; a full segment is followed by a new one */
inline append(what, which)
{
	kind[tail] = what;
	about[tail] = which;
	present[SEGMENT(tail)] = true;
	tail++
}

/* sync_to(): the files, then the directory if a segment begins there (log_flush) */
inline sync_all(to, s)
{
	to = tail;
	atomic {
		if
		:: to > durable ->
#ifndef FAULT_NAME_NOT_SYNCED
			s = SEGMENT(durable);
			do
			:: s <= SEGMENT(to - 1) -> named[s] = true; s++
			:: else -> break
			od;
#endif
			durable = to
		:: else
		fi
	}
}

/* table_apply() of one frame, to the table of who runs this; `live`: the replay is over */
inline apply(lsn)
{
	if
	:: kind[lsn] == PUT || kind[lsn] == COPY -> state[about[lsn]] = PENDING; at[about[lsn]] = lsn
	:: kind[lsn] == FINISH -> state[about[lsn]] = ENDED
	:: kind[lsn] == TRIM ->
		trimmed = (about[lsn] > trimmed -> about[lsn] : trimmed);
		i = 1;
		do
		:: i <= JOBS ->
			if
			:: !live && state[i] == PENDING && at[i] < trimmed * PER -> state[i] = UNKNOWN
			:: else
			fi;
			i++
		:: else -> break
		od
	:: else
	fi
}

/* ---- who puts and finishes ---- */

active proctype Writer()
{
	byte next = 1, job, to, s;
	do
	:: atomic { next <= JOBS && tail < FRAMES - 1 ->
			append(PUT, next);
			put_at[next] = tail;
			enqueued_at[next] = tail;
			next++
		}
	:: atomic { tail < FRAMES - 1 ->
			job = 1;
			do
			:: job < JOBS -> job++
			:: break
			od;
			if
			:: put_at[job] ->
				append(FINISH, job);
				put_at[job] = 0;
				finished_at[job] = tail
			:: else
			fi;
			job = 0
		}
	:: durable < tail -> sync_all(to, s)
	:: break
	od
}

/* ---- who compacts ---- */

active proctype Compactor()
{
	byte oldest, lsn, job, to, s, laps;
again:	/* another process comes, and knows nothing of what this one had copied */
	atomic { oldest = 0; lsn = 0; job = 0; to = 0; s = 0 }
	do
	:: kills > 0 && laps < LAPS -> atomic { kills--; goto again }
	:: laps < LAPS && tail < FRAMES ->
		atomic { /* files_oldest() */
			oldest = 0;
			do
			:: !present[oldest] && oldest < SEGMENTS - 1 -> oldest++
			:: else -> break
			od
		}
		if
		:: tail == 0 || oldest >= HEAD -> break /* the head never goes */
		:: else
		fi;
		lsn = oldest * PER;
		do /* copy_some(); if first_segment is higher, its removal failed: nothing is copied */
		:: lsn < (oldest + 1) * PER && first_segment <= oldest ->
			job = 0;
			atomic { /* read without the lock: consider() */
				if
				:: (kind[lsn] == PUT || kind[lsn] == COPY) && put_at[about[lsn]] == lsn + 1 ->
					job = about[lsn]
				:: else
				fi
			}
			if
			:: kills > 0 -> atomic { kills--; goto again }
			:: skip
			fi;
			atomic { /* with the lock: table_points_at(), then the COPY */
				if
#ifdef FAULT_COPY_NOT_CHECKED
				:: job && tail < FRAMES ->
#else
				:: job && put_at[job] == lsn + 1 && tail < FRAMES ->
#endif
					append(COPY, job);
					put_at[job] = tail
				:: job && put_at[job] == lsn + 1 && tail == FRAMES -> goto stop
				:: else
				fi
			}
			lsn++
		:: else -> break
		od;
		if
		:: kills > 0 -> atomic { kills--; goto again }
		:: skip
		fi;
		sync_all(to, s); /* leave_segment() */
#ifdef FAULT_UNLINK_BEFORE_TRIM
		atomic { present[oldest] = false; gone++ }
#endif
		atomic {
			if
			:: first_segment <= oldest && tail == FRAMES -> goto stop
			:: first_segment <= oldest && tail < FRAMES ->
				append(TRIM, oldest + 1);
				first_segment = oldest + 1
			:: else
			fi
		}
		if
		:: kills > 0 -> atomic { kills--; goto again }
		:: skip
		fi;
#ifndef FAULT_TRIM_NOT_SYNCED
		sync_all(to, s);
#endif
		if
		:: kills > 0 -> atomic { kills--; goto again }
		:: skip
		fi;
		atomic { present[oldest] = false; gone++ } /* files_trim() */
		laps++;
		atomic { oldest = 0; lsn = 0; job = 0; to = 0; s = 0 }
	:: else -> break
	od;
stop:	skip
}

/* ---- who follows ---- */

#if LOOKS
inline compare()
{
	i = 1;
	do
	:: i <= JOBS ->
		assert(!(finished_at[i] && finished_at[i] <= end) || state[i] != PENDING);
		assert(!(enqueued_at[i] && enqueued_at[i] <= end) ||
		       (finished_at[i] && finished_at[i] <= end) || state[i] == PENDING);
		i++
	:: else -> break
	od;
	i = 0
}

active proctype Follower()
{
	byte applied, end, from, trimmed, looks, builds, i;
	byte state[JOBS + 1], at[JOBS + 1];
	bool live = true;
	state[0] = UNKNOWN;
	i = 1;
	do
	:: i <= JOBS -> state[i] = UNKNOWN; i++
	:: else -> break
	od;
look:
	if
	:: looks == LOOKS -> goto done
	:: else -> looks++
	fi;
	end = tail; /* follow_view() */
	do
	:: applied < end -> /* log_follow() */
		atomic {
			if
			:: present[SEGMENT(applied)] ->
				apply(applied);
				applied++
			:: else ->
#ifdef FAULT_GONE_IS_PASSED_OVER
				applied++
#else
				goto build
#endif
			fi
		}
	:: else -> break
	od;
	atomic { compare() }
	goto look;
build:	/* build_once() */
	atomic {
		builds++;
		assert(builds <= gone);
		end = tail;
		live = false;
		trimmed = 0;
		i = 1;
		do
		:: i <= JOBS -> state[i] = UNKNOWN; at[i] = 0; i++
		:: else -> break
		od
	}
	atomic { /* chain_open() */
		from = 0;
		do
		:: !present[from] && from < SEGMENTS - 1 -> from++
		:: else -> break
		od;
		applied = from * PER
	}
	do
	:: applied < end -> /* chain_next() */
		atomic {
			if
			:: present[SEGMENT(applied)] ->
				apply(applied);
				applied++
			:: else -> goto build /* it was listed, and is gone */
			fi
		}
	:: else -> break
	od;
#ifndef FAULT_NOT_ASKED_WHETHER_WHOLE
	if
	:: from > trimmed -> goto build /* chain_whole(): `end` is out of date by now */
	:: else
	fi;
#endif
	live = true;
	atomic { compare() }
	goto look;
done:	skip
}

#endif

/* ---- the power fails, and somebody recovers ---- */

#if CUTS
active proctype Cut()
{
	byte end, s, from, trimmed, lsn, i;
	bool back[SEGMENTS], live = false;
	byte state[JOBS + 1], at[JOBS + 1];
	atomic {
		end = durable; /* of what was not synced, a part */
		do
		:: end < tail -> end++
		:: break
		od;
		s = 0;
		do
		:: s < SEGMENTS && s * PER < tail ->
			if
			:: present[s] && named[s] -> back[s] = true
			:: present[s] && !named[s] -> back[s] = true
			:: present[s] && !named[s] -> end = (end > s * PER -> s * PER : end)
			:: !present[s] -> back[s] = true /* that it was unlinked is undone */
			:: !present[s]
			fi;
			s++
		:: else -> break
		od;
		from = (end > 0 -> SEGMENT(end - 1) : 0); /* chain_open(): back while they join */
		do
		:: from > 0 && back[from - 1] -> from--
		:: else -> break
		od;
		i = 1;
		do
		:: i <= JOBS -> state[i] = UNKNOWN; i++
		:: else -> break
		od;
		lsn = from * PER;
		do
		:: lsn < end -> apply(lsn); lsn++
		:: else -> break
		od;
		assert(end == 0 || from <= trimmed); /* chain_whole() */
		i = 1;
		do
		:: i <= JOBS ->
			assert(!(finished_at[i] && finished_at[i] <= durable) || state[i] != PENDING);
			assert(!(enqueued_at[i] && enqueued_at[i] <= durable) ||
			       (finished_at[i] && finished_at[i] <= end) || state[i] == PENDING);
			i++
		:: else -> break
		od
	}
}

#endif

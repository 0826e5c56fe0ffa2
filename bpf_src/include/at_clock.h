/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual clock of schedulers that share by weight: what each task's own clock is compared with.
 *
 * It advances by two rules. Served time is shared among the tasks that want it, as in weighted fair queueing:
 * otherwise newcomers that each start at the same clock and end before it moves would keep all others waiting for
 * ever. And it is never behind a task that begins to run, as in start-time fair queueing: otherwise a task that ran
 * alone for long would wait just as long once others come.
 */
#ifndef AT_CLOCK_H
#define AT_CLOCK_H

#include "at.h"

/* More tasks than this count as this many, which bounds how long a task that is ahead may wait behind newcomers. */
#define AT_CLOCK_MOST_SHARES 64

/* The least credit that a waiting task may keep: some turns of the tasks that share its CPU. */
#define AT_CLOCK_KEPT_NS (100 * AT_MS)

static u64 at_clock;
static s64 at_clock_sharers; /* tasks that run or want to run */

/* A task begins to run. Several CPUs may race here; an update that is lost is made up for by the next. */
AT_INLINE void at_clock_running(u64 vtime)
{
	if (at_before(at_clock, vtime))
		at_clock = vtime;
}

#define AT_CLOCK_COUNTS(name)                                          \
	AT_OP2(void, name##_runnable, struct task_struct *, p, u64, enq_flags) \
	{                                                              \
		__sync_fetch_and_add(&at_clock_sharers, 1);            \
	}                                                              \
	AT_OP2(void, name##_quiescent, struct task_struct *, p, u64, deq_flags) \
	{                                                              \
		__sync_fetch_and_add(&at_clock_sharers, -1);           \
	}

/* Return the own clock of a task that ran for so long. The clock of all advances too. */
AT_INLINE u64 at_clock_charged(struct task_struct *p, u64 vtime, u64 ran_ns)
{
	u64 weighted_ns = at_weighted(p, ran_ns);
	s64 sharers = at_clock_sharers;

	if (sharers < 1)
		sharers = 1;
	if (sharers > AT_CLOCK_MOST_SHARES)
		sharers = AT_CLOCK_MOST_SHARES;
	__sync_fetch_and_add(&at_clock, weighted_ns / (u64)sharers);
	return vtime + weighted_ns;
}

/*
 * Return the clock of a task that is to wait. One that slept does not save up what it missed: it starts at most the lag
 * limit behind the others. One that wanted to run all the time keeps its credit, but not without bound: a task of
 * little weight that runs alone on one CPU drives the clock far ahead of the tasks that share another, and one that
 * wakes up there would have to wait until they have caught up.
 */
AT_INLINE u64 at_clock_position(u64 vtime, u64 enq_flags, u64 lag_limit_ns, u64 kept_ns)
{
	u64 earliest = at_clock - (enq_flags & SCX_ENQ_WAKEUP ? lag_limit_ns : lag_limit_ns + kept_ns);

	return at_before(vtime, earliest) ? earliest : vtime;
}

#endif /* AT_CLOCK_H */

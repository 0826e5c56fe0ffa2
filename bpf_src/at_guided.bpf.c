/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_guided: the task first that begins the longest chain of work, as earlier runs of the workload showed it.
 *
 * Of jobs started together, a long one then does not run alone at the end, after all the short ones. What is left of a
 * task's chain is what was expected of its program (at_expected.h) without the CPU time that it used since. The order
 * holds over the end of a time slice: a task goes on while none that waits has more left.
 *
 *  - A task that wakes and has used little CPU time lately goes before all others, and may preempt one of them: it waits
 *    for input, or hands on work. So do tasks of which nothing is known, at first: they start what is known.
 *  - A task of which nothing is known, and that runs for long, counts as a quarter to three quarters of the longest, by
 *    its weight: at nice 0 as half.
 *  - A task that needs longer than expected counts as if it had half of what it used still to go.
 *  - Nobody is behind newcomers for longer than `age_limit_ms`.
 */
#include "at_expected.h"

/* How long a task may run before it is compared with those that wait. */
AT_KNOB(u64, slice_us, 20000);
/* The largest head start, and so the longest that others wait for it. */
AT_KNOB(u64, age_limit_ms, 1500);
/* A task that wakes goes first when it has used less CPU time than this lately; sleeping wins it back. */
AT_KNOB(u64, brief_us, 4000);

#define MAX_CPUS 1024
#define FORGET 8 /* whoever uses more than a ninth of a CPU for long is not brief */
#define FORK_US 500 /* what a fork counts as: a stream of short tasks is one long one */
#define MOST_LOOKS 16 /* waiting tasks that are looked at for one that this CPU may run */

AT_EXPECTED

struct task_ctx {
	u64 used_ns;  /* CPU time of its program */
	u64 burst_ns; /* CPU time lately: FORGET times as much sleep takes it off */
	u64 began_ns;
	u64 slept_ns; /* when it last went to sleep; 0: it does not sleep */
	u32 execs;
	u32 is_brief;
	u32 is_known; /* it has been enqueued before */
	u32 unused;
};

AT_TASK_CTX(struct task_ctx)

static u8 runs_brief[MAX_CPUS]; /* whether the CPU runs a task that went first */

/* A new task begins where the one that forked it is. */
AT_INLINE void inherit(struct task_struct *p, struct task_ctx *ctx)
{
	struct task_ctx *parent = at_ctx(p->real_parent);

	ctx->is_known = 1;
	parent->burst_ns += FORK_US * AT_US;
	ctx->burst_ns = parent->burst_ns;
}

/* Its own time begins anew with each program. One of which something is known has to earn the right to go first. */
AT_INLINE void see_exec(struct task_ctx *ctx, struct at_expected *expected)
{
	if (ctx->execs == expected->execs)
		return;
	ctx->execs = expected->execs;
	ctx->used_ns = 0;
	if (expected->chain_ns && ctx->burst_ns < brief_us * AT_US)
		ctx->burst_ns = brief_us * AT_US;
}

/* CPU time, in ns, that its chain has still to go. */
AT_INLINE u64 left_of(struct task_ctx *ctx, struct at_expected *expected)
{
	if (expected->chain_ns > ctx->used_ns)
		return expected->chain_ns - ctx->used_ns;
	return ctx->used_ns / 2;
}

/* How much earlier than a newcomer it runs, in ns: up to the age limit. */
AT_INLINE u64 head_start(struct task_struct *p, struct task_ctx *ctx, struct at_expected *expected)
{
	u64 limit_ns = age_limit_ms * AT_MS;
	u64 longest, left, start_ns;

	if (!expected->chain_ns || !expected->longest_ns) {
		start_ns = limit_ns / 4 + limit_ns / 400 * p->scx.weight;
		return start_ns > limit_ns / 4 * 3 ? limit_ns / 4 * 3 : start_ns;
	}
	longest = expected->longest_ns >> 10 ?: 1;
	left = left_of(ctx, expected) >> 10;
	if (left > longest)
		left = longest;
	return (limit_ns >> 10) * left / longest << 10;
}

AT_INLINE u64 turn_of(struct task_struct *p, struct task_ctx *ctx)
{
	return scx_bpf_now() + age_limit_ms * AT_MS - head_start(p, ctx, at_expected(p));
}

AT_OP3(s32, at_guided_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, at_guided_runnable, struct task_struct *, p, u64, enq_flags)
{
	struct task_ctx *ctx = at_ctx(p);
	u64 now = scx_bpf_now();

	if (ctx->slept_ns && at_before(ctx->slept_ns, now)) {
		u64 slept_ns = (now - ctx->slept_ns) / FORGET;

		ctx->burst_ns = ctx->burst_ns > slept_ns ? ctx->burst_ns - slept_ns : 0;
	}
	ctx->slept_ns = 0;
}

AT_OP2(void, at_guided_enqueue, struct task_struct *, p, u64, enq_flags)
{
	struct task_ctx *ctx = at_ctx(p);
	u32 cpu = scx_bpf_task_cpu(p);

	if (!ctx->is_known)
		inherit(p, ctx);
	see_exec(ctx, at_expected(p));
	ctx->is_brief = ctx->burst_ns < brief_us * AT_US;
	if (!ctx->is_brief) {
		scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_us * AT_US, turn_of(p, ctx), enq_flags);
		at_kick(p);
		return;
	}
	if (cpu < MAX_CPUS && !runs_brief[cpu]) {
		runs_brief[cpu] = 1;
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, brief_us * AT_US, enq_flags | SCX_ENQ_PREEMPT);
		return;
	}
	scx_bpf_dsq_insert_vtime(p, AT_SHARED, brief_us * AT_US, scx_bpf_now(), enq_flags);
	at_kick(p);
}

/* Whether a task that waits, and may run on this CPU, comes before the one that runs there. */
AT_INLINE bool another_is_first(s32 cpu, struct task_struct *prev)
{
	u64 turn = turn_of(prev, at_ctx(prev));
	struct bpf_iter_scx_dsq each;
	struct task_struct *p;
	bool found = false;
	u32 looks = 0;

	bpf_iter_scx_dsq_new(&each, AT_SHARED, 0);
	while ((p = bpf_iter_scx_dsq_next(&each))) {
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			found = at_before(p->scx.dsq_vtime, turn);
			break;
		}
		if (++looks >= MOST_LOOKS) {
			found = true;
			break;
		}
	}
	bpf_iter_scx_dsq_destroy(&each);
	return found;
}

AT_OP2(void, at_guided_dispatch, s32, cpu, struct task_struct *, prev)
{
	/* With nothing dispatched, the kernel lets the task go on for another slice of its own. */
	if (prev && prev->scx.flags & SCX_TASK_QUEUED && !another_is_first(cpu, prev))
		return;
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP1(void, at_guided_running, struct task_struct *, p)
{
	struct task_ctx *ctx = at_ctx(p);
	u32 cpu = scx_bpf_task_cpu(p);

	ctx->began_ns = scx_bpf_now();
	if (cpu < MAX_CPUS)
		runs_brief[cpu] = ctx->is_brief;
}

AT_OP2(void, at_guided_stopping, struct task_struct *, p, bool, runnable)
{
	struct task_ctx *ctx = at_ctx(p);
	u64 now = scx_bpf_now();
	u32 cpu = scx_bpf_task_cpu(p);
	u64 ran_ns = ctx->began_ns && at_before(ctx->began_ns, now) ? now - ctx->began_ns : 0;

	see_exec(ctx, at_expected(p));
	ctx->used_ns += ran_ns;
	ctx->burst_ns += ran_ns;
	ctx->slept_ns = runnable ? 0 : now;
	ctx->is_brief = 0;
	if (cpu < MAX_CPUS)
		runs_brief[cpu] = 0;
}

AT_OP2(s32, at_guided_init_task, struct task_struct *, p, struct scx_init_task_args *, args)
{
	at_ctx_create(p);
	return 0;
}

AT_OP0(s32, "struct_ops.s", at_guided_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(at_guided_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_guided_ops = {
	.select_cpu = (void *)at_guided_select_cpu,
	.runnable = (void *)at_guided_runnable,
	.enqueue = (void *)at_guided_enqueue,
	.dispatch = (void *)at_guided_dispatch,
	.running = (void *)at_guided_running,
	.stopping = (void *)at_guided_stopping,
	.init_task = (void *)at_guided_init_task,
	.init = (void *)at_guided_init,
	.exit = (void *)at_guided_exit,
	.timeout_ms = 20000,
	.name = "at_guided",
};

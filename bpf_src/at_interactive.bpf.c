/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_interactive: tasks that run briefly and sleep go first.
 *
 * Tasks are ordered by a deadline: their virtual time (as in at_vtime) plus how long they have been running since
 * they last slept, up to `burst_limit_us`. A short sleeper has little of both and is served soon; a hog's deadline
 * moves away while it runs, but virtual time moves on too, so it is only delayed, never starved. A sleeper whose
 * usual burst is shorter than `preempt_below_us` need not wait for the end of a slice when its deadline is before that
 * of the task on its CPU. No task runs out of this order, or tasks that preempt each other would starve all others.
 */
#include "at_clock.h"

/* The longest a task may run at once; the tasks that wait share it. */
AT_KNOB(u64, slice_us, 4000);
/* The shortest slice, however many tasks wait. */
AT_KNOB(u64, slice_min_us, 500);
/* How far behind the others a task that slept may start; a larger value favours tasks that sleep. */
AT_KNOB(u64, lag_limit_us, 20000);
/* The most that running without sleep can delay a task. */
AT_KNOB(u64, burst_limit_us, 50000);
/* Sleepers with a usual burst below this may preempt; 0: none may. */
AT_KNOB(u64, preempt_below_us, 500);

struct task_ctx {
	u64 burst_ns; /* run since it last slept */
	u64 usual_ns; /* moving average of bursts */
	u64 began_ns;
	u64 deadline;
	u64 vtime; /* not p->scx.dsq_vtime, which the insertion overwrites with the deadline */
};

#define MAX_CPUS 1024

static u64 deadline_on[MAX_CPUS]; /* of the task that runs there; 0 without one */

AT_TASK_CTX(struct task_ctx)

AT_INLINE u64 slice_ns(void)
{
	s32 waiting = scx_bpf_dsq_nr_queued(AT_SHARED);
	u64 us = slice_us / (waiting > 0 ? waiting + 1 : 1);

	return (us < slice_min_us ? slice_min_us : us) * AT_US;
}

AT_CLOCK_COUNTS(at_interactive)

AT_OP3(s32, at_interactive_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_ns());
}

/* Whether the task on its CPU has a later deadline, so that dispatch would choose this one. */
AT_INLINE bool may_preempt(struct task_struct *p, u64 deadline)
{
	u32 cpu = scx_bpf_task_cpu(p);

	return cpu < MAX_CPUS && deadline_on[cpu] && at_before(deadline, deadline_on[cpu]);
}

AT_OP2(void, at_interactive_enqueue, struct task_struct *, p, u64, enq_flags)
{
	struct task_ctx *ctx = at_ctx(p);
	u64 limit_ns = burst_limit_us * AT_US;
	u64 deadline;

	/* The penalty for its burst keeps a hog that far behind the clock, so the bound on its credit includes it. */
	ctx->vtime = at_clock_position(ctx->vtime, enq_flags, lag_limit_us * AT_US, limit_ns + AT_CLOCK_KEPT_NS);
	deadline = ctx->vtime + (ctx->burst_ns < limit_ns ? ctx->burst_ns : limit_ns);
	ctx->deadline = deadline;
	scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_ns(), deadline, enq_flags);
	if ((enq_flags & SCX_ENQ_WAKEUP) && ctx->usual_ns < preempt_below_us * AT_US && may_preempt(p, deadline))
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_PREEMPT);
	else
		at_kick(p);
}

AT_OP2(void, at_interactive_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP1(void, at_interactive_running, struct task_struct *, p)
{
	struct task_ctx *ctx = at_ctx(p);
	u32 cpu = scx_bpf_task_cpu(p);

	if (cpu < MAX_CPUS)
		deadline_on[cpu] = ctx->deadline;
	ctx->began_ns = scx_bpf_now();
	at_clock_running(ctx->vtime);
}

AT_OP2(void, at_interactive_stopping, struct task_struct *, p, bool, runnable)
{
	struct task_ctx *ctx = at_ctx(p);
	u32 cpu = scx_bpf_task_cpu(p);
	u64 ran_ns;

	if (cpu < MAX_CPUS)
		deadline_on[cpu] = 0;
	if (!ctx->began_ns)
		return;
	ran_ns = scx_bpf_now() - ctx->began_ns;
	ctx->burst_ns += ran_ns;
	ctx->vtime = at_clock_charged(p, ctx->vtime, ran_ns);
	if (!runnable) {
		ctx->usual_ns = (ctx->usual_ns * 3 + ctx->burst_ns) / 4;
		ctx->burst_ns = 0;
	}
}

AT_OP2(s32, at_interactive_init_task, struct task_struct *, p, struct scx_init_task_args *, args)
{
	at_ctx_create(p)->usual_ns = slice_us * AT_US; /* no task preempts before it has shown that it is brief */
	return 0;
}

AT_OP1(void, at_interactive_enable, struct task_struct *, p)
{
	at_ctx(p)->vtime = at_clock;
}

AT_OP0(s32, "struct_ops.s", at_interactive_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(at_interactive_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_interactive_ops = {
	.select_cpu = (void *)at_interactive_select_cpu,
	.enqueue = (void *)at_interactive_enqueue,
	.dispatch = (void *)at_interactive_dispatch,
	.runnable = (void *)at_interactive_runnable,
	.quiescent = (void *)at_interactive_quiescent,
	.running = (void *)at_interactive_running,
	.stopping = (void *)at_interactive_stopping,
	.init_task = (void *)at_interactive_init_task,
	.enable = (void *)at_interactive_enable,
	.init = (void *)at_interactive_init,
	.exit = (void *)at_interactive_exit,
	.timeout_ms = 10000,
	.name = "at_interactive",
};

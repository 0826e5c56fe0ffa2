/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_interactive: those that run briefly and sleep go first.
 *
 * Tasks are ordered by a deadline: their virtual time (as in at_vtime) plus how long they have been running since
 * they last slept, up to `burst_limit_us`. A short sleeper has little of both and is served soon; a hog's deadline
 * moves away while it runs, but virtual time moves on too, so it is only put behind, never left out. A sleeper whose
 * usual burst is shorter than `preempt_below_us` and who is not ahead of its share may take a CPU at once.
 */
#include "at.h"

/* The longest a task may run at once; shared by those that wait. */
AT_KNOB(u64, slice_us, 4000);
/* The shortest it gets however many wait. */
AT_KNOB(u64, slice_min_us, 500);
/* How far behind the others a task that slept may start; more favours those that sleep. */
AT_KNOB(u64, lag_limit_us, 20000);
/* How much running without sleep can put a task back. */
AT_KNOB(u64, burst_limit_us, 50000);
/* Sleepers with a usual burst below this may preempt; 0 lets nobody. */
AT_KNOB(u64, preempt_below_us, 500);

struct task_ctx {
	u64 burst_ns; /* run since it last slept */
	u64 usual_ns; /* moving average of bursts */
	u64 began_ns;
};

struct {
	AT_MAP_UINT(type, 29); /* BPF_MAP_TYPE_TASK_STORAGE */
	AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC */
	AT_MAP_TYPE(key, int);
	AT_MAP_TYPE(value, struct task_ctx);
} tasks SEC(".maps");

static u64 vtime_now;

AT_INLINE u64 slice_ns(void)
{
	s32 waiting = scx_bpf_dsq_nr_queued(AT_SHARED);
	u64 us = slice_us / (waiting > 0 ? waiting + 1 : 1);

	return (us < slice_min_us ? slice_min_us : us) * AT_US;
}

AT_INLINE u64 start_vtime(struct task_struct *p)
{
	u64 earliest = vtime_now - lag_limit_us * AT_US;

	return at_before(p->scx.dsq_vtime, earliest) ? earliest : p->scx.dsq_vtime;
}

AT_OP3(s32, at_interactive_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_ns());
}

AT_OP2(void, at_interactive_enqueue, struct task_struct *, p, u64, enq_flags)
{
	struct task_ctx *ctx = at_task_storage_get(&tasks, p, NULL, 0);
	u64 limit_ns = burst_limit_us * AT_US;
	u64 vtime = start_vtime(p);
	u64 burst_ns = ctx ? ctx->burst_ns : 0;

	at_set_vtime(p, vtime);
	if (ctx && (enq_flags & SCX_ENQ_WAKEUP) && ctx->usual_ns < preempt_below_us * AT_US &&
	    at_before(vtime, vtime_now)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_min_us * AT_US, enq_flags | SCX_ENQ_PREEMPT);
		return;
	}
	scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_ns(), vtime + (burst_ns < limit_ns ? burst_ns : limit_ns), enq_flags);
	at_kick(p);
}

AT_OP2(void, at_interactive_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP1(void, at_interactive_running, struct task_struct *, p)
{
	struct task_ctx *ctx = at_task_storage_get(&tasks, p, NULL, 0);

	if (ctx)
		ctx->began_ns = scx_bpf_now();
	if (at_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

AT_OP2(void, at_interactive_stopping, struct task_struct *, p, bool, runnable)
{
	struct task_ctx *ctx = at_task_storage_get(&tasks, p, NULL, 0);
	u64 ran_ns;

	if (!ctx || !ctx->began_ns)
		return;
	ran_ns = scx_bpf_now() - ctx->began_ns;
	ctx->burst_ns += ran_ns;
	at_set_vtime(p, p->scx.dsq_vtime + at_weighted(p, ran_ns));
	if (!runnable) {
		ctx->usual_ns = (ctx->usual_ns * 3 + ctx->burst_ns) / 4;
		ctx->burst_ns = 0;
	}
}

AT_OP2(s32, at_interactive_init_task, struct task_struct *, p, struct scx_init_task_args *, args)
{
	struct task_ctx *ctx = at_task_storage_get(&tasks, p, NULL, AT_STORAGE_CREATE);

	if (ctx)
		ctx->usual_ns = slice_us * AT_US; /* nobody preempts before it has shown that it is brief */
	return 0;
}

AT_OP1(void, at_interactive_enable, struct task_struct *, p)
{
	at_set_vtime(p, vtime_now);
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
	.running = (void *)at_interactive_running,
	.stopping = (void *)at_interactive_stopping,
	.init_task = (void *)at_interactive_init_task,
	.enable = (void *)at_interactive_enable,
	.init = (void *)at_interactive_init,
	.exit = (void *)at_interactive_exit,
	.timeout_ms = 10000,
	.name = "at_interactive",
};

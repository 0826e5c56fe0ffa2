/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_vtime: weighted virtual time, one queue for all CPUs.
 *
 * Every task has a clock that runs while it does, slower the higher its weight; the task whose clock is furthest
 * behind runs next. So each gets CPU time in proportion to its weight. A task that slept does not save up what it
 * missed: its clock is moved up to at most `lag_limit_us` behind the others.
 */
#include "at_clock.h"

/* How long a task may run before the next is chosen. */
AT_KNOB(u64, slice_us, 5000);
/* How far behind the others a task that slept may start; a larger value favours tasks that sleep. */
AT_KNOB(u64, lag_limit_us, 5000);

struct task_ctx {
	u64 began_ns; /* when it was last put on a CPU */
};

AT_TASK_CTX(struct task_ctx)

AT_CLOCK_COUNTS(at_vtime)

AT_OP3(s32, at_vtime_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, at_vtime_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 vtime = at_clock_position(p->scx.dsq_vtime, enq_flags, lag_limit_us * AT_US, AT_CLOCK_KEPT_NS);

	scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_us * AT_US, vtime, enq_flags);
	at_kick(p);
}

AT_OP2(void, at_vtime_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP1(void, at_vtime_running, struct task_struct *, p)
{
	at_ctx(p)->began_ns = scx_bpf_now();
	at_clock_running(p->scx.dsq_vtime);
}

AT_OP2(void, at_vtime_stopping, struct task_struct *, p, bool, runnable)
{
	struct task_ctx *ctx = at_ctx(p);

	/* By the clock: the rest of the slice does not show it, since the kernel renews the slice of a task without rivals. */
	if (ctx->began_ns)
		at_set_vtime(p, at_clock_charged(p, p->scx.dsq_vtime, scx_bpf_now() - ctx->began_ns));
}

AT_OP2(s32, at_vtime_init_task, struct task_struct *, p, struct scx_init_task_args *, args)
{
	at_ctx_create(p);
	return 0;
}

AT_OP1(void, at_vtime_enable, struct task_struct *, p)
{
	at_set_vtime(p, at_clock);
}

AT_OP0(s32, "struct_ops.s", at_vtime_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(at_vtime_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_vtime_ops = {
	.select_cpu = (void *)at_vtime_select_cpu,
	.enqueue = (void *)at_vtime_enqueue,
	.dispatch = (void *)at_vtime_dispatch,
	.runnable = (void *)at_vtime_runnable,
	.quiescent = (void *)at_vtime_quiescent,
	.running = (void *)at_vtime_running,
	.stopping = (void *)at_vtime_stopping,
	.init_task = (void *)at_vtime_init_task,
	.enable = (void *)at_vtime_enable,
	.init = (void *)at_vtime_init,
	.exit = (void *)at_vtime_exit,
	.timeout_ms = 10000,
	.name = "at_vtime",
};

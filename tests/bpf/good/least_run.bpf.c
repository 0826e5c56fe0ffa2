/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * least_run: whoever has run least of late goes first. What a task has run is forgotten by half each time it sleeps, and
 * counts for at most `memory_ms`, so that nobody is held back for longer than that.
 */
#include "at.h"

/* How long a task may run. */
AT_KNOB(u64, slice_us, 4000);
/* How much of what a task has run counts at most. */
AT_KNOB(u64, memory_ms, 200);

struct task_ctx {
	u64 ran_ns;
	u64 began_ns;
};

AT_TASK_CTX(struct task_ctx)

AT_OP3(s32, least_run_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, least_run_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 most = memory_ms * AT_MS;
	u64 ran = at_ctx(p)->ran_ns;

	/* By the clock, so that waiting makes up for what was run. */
	scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_us * AT_US, scx_bpf_now() + (ran < most ? ran : most), enq_flags);
	at_kick(p);
}

AT_OP2(void, least_run_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP1(void, least_run_running, struct task_struct *, p)
{
	at_ctx(p)->began_ns = scx_bpf_now();
}

AT_OP2(void, least_run_stopping, struct task_struct *, p, bool, runnable)
{
	struct task_ctx *ctx = at_ctx(p);

	if (ctx->began_ns)
		ctx->ran_ns += scx_bpf_now() - ctx->began_ns;
	if (!runnable)
		ctx->ran_ns /= 2;
}

AT_OP2(s32, least_run_init_task, struct task_struct *, p, struct scx_init_task_args *, args)
{
	at_ctx_create(p);
	return 0;
}

AT_OP0(s32, "struct_ops.s", least_run_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(least_run_exit)

SEC(".struct_ops.link")
struct sched_ext_ops least_run_ops = {
	.select_cpu = (void *)least_run_select_cpu,
	.enqueue = (void *)least_run_enqueue,
	.dispatch = (void *)least_run_dispatch,
	.running = (void *)least_run_running,
	.stopping = (void *)least_run_stopping,
	.init_task = (void *)least_run_init_task,
	.init = (void *)least_run_init,
	.exit = (void *)least_run_exit,
	.timeout_ms = 10000,
	.name = "least_run",
};

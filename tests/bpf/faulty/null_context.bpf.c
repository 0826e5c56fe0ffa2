/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: a context is used that may be NULL; gate: load; rule: verifier */
/*
 * null_context: counts how often a task ran, and takes for granted that each task has a context.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

struct task_ctx {
	u64 runs;
};

struct {
	AT_MAP_UINT(type, 29); /* BPF_MAP_TYPE_TASK_STORAGE */
	AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC */
	AT_MAP_TYPE(key, int);
	AT_MAP_TYPE(value, struct task_ctx);
} tasks SEC(".maps");

AT_OP3(s32, null_context_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, null_context_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, null_context_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP1(void, null_context_running, struct task_struct *, p)
{
	struct task_ctx *ctx = at_task_storage_get(&tasks, p, NULL, AT_STORAGE_CREATE);

	ctx->runs++;
}

AT_OP0(s32, "struct_ops.s", null_context_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(null_context_exit)

SEC(".struct_ops.link")
struct sched_ext_ops null_context_ops = {
	.select_cpu = (void *)null_context_select_cpu,
	.enqueue = (void *)null_context_enqueue,
	.dispatch = (void *)null_context_dispatch,
	.running = (void *)null_context_running,
	.init = (void *)null_context_init,
	.exit = (void *)null_context_exit,
	.timeout_ms = 10000,
	.name = "null_context",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: lost task; gate: source; rule: enqueue-inserts */
/*
 * A task whose context is missing is put into no queue. Nobody ever runs it again, until the watchdog throws the
 * scheduler out.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

struct task_ctx {
	u64 queued; /* how often it was put into the queue */
};

struct {
	AT_MAP_UINT(type, 29); /* BPF_MAP_TYPE_TASK_STORAGE */
	AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC */
	AT_MAP_TYPE(key, int);
	AT_MAP_TYPE(value, struct task_ctx);
} tasks SEC(".maps");

AT_OP3(s32, lost_task_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, lost_task_enqueue, struct task_struct *, p, u64, enq_flags)
{
	struct task_ctx *ctx = at_task_storage_get(&tasks, p, NULL, AT_STORAGE_CREATE);

	if (!ctx)
		return;
	ctx->queued++;
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, lost_task_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", lost_task_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(lost_task_exit)

SEC(".struct_ops.link")
struct sched_ext_ops lost_task_ops = {
	.select_cpu = (void *)lost_task_select_cpu,
	.enqueue = (void *)lost_task_enqueue,
	.dispatch = (void *)lost_task_dispatch,
	.init = (void *)lost_task_init,
	.exit = (void *)lost_task_exit,
	.timeout_ms = 10000,
	.name = "lost_task",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_fifo: first come, first served, from one queue for all CPUs.
 *
 * The simplest scheduler that works: the task that has waited longest runs next, for one slice, whatever its nice
 * level. It does little per switch and keeps all CPUs busy; nothing protects other tasks from hogs.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 20000);

AT_OP3(s32, at_fifo_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, at_fifo_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, at_fifo_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", at_fifo_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(at_fifo_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_fifo_ops = {
	.select_cpu = (void *)at_fifo_select_cpu,
	.enqueue = (void *)at_fifo_enqueue,
	.dispatch = (void *)at_fifo_dispatch,
	.init = (void *)at_fifo_init,
	.exit = (void *)at_fifo_exit,
	.timeout_ms = 10000,
	.name = "at_fifo",
};

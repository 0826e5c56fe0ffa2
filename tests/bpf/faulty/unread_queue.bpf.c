/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: unread queue; gate: source; rule: queue-consumed */
/*
 * Kernel threads wait in a queue of their own, which no dispatch ever looks at.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

#define KERNEL_THREADS 2ULL

AT_OP3(s32, unread_queue_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, unread_queue_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 queue = p->mm ? AT_SHARED : KERNEL_THREADS;

	scx_bpf_dsq_insert(p, queue, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, unread_queue_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", unread_queue_init)
{
	s32 error = scx_bpf_create_dsq(KERNEL_THREADS, -1);

	return error ? error : scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(unread_queue_exit)

SEC(".struct_ops.link")
struct sched_ext_ops unread_queue_ops = {
	.select_cpu = (void *)unread_queue_select_cpu,
	.enqueue = (void *)unread_queue_enqueue,
	.dispatch = (void *)unread_queue_dispatch,
	.init = (void *)unread_queue_init,
	.exit = (void *)unread_queue_exit,
	.timeout_ms = 10000,
	.name = "unread_queue",
};

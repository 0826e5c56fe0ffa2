/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: wrong local queue; gate: source; rule: select-cpu-local */
/*
 * When a CPU is idle the task is put into the queue of all CPUs instead of that CPU's own: it waits there for whoever
 * comes, while the CPU that was chosen is woken for nothing.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, wrong_local_queue_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, 0);
	return cpu;
}

AT_OP2(void, wrong_local_queue_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, wrong_local_queue_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", wrong_local_queue_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(wrong_local_queue_exit)

SEC(".struct_ops.link")
struct sched_ext_ops wrong_local_queue_ops = {
	.select_cpu = (void *)wrong_local_queue_select_cpu,
	.enqueue = (void *)wrong_local_queue_enqueue,
	.dispatch = (void *)wrong_local_queue_dispatch,
	.init = (void *)wrong_local_queue_init,
	.exit = (void *)wrong_local_queue_exit,
	.timeout_ms = 10000,
	.name = "wrong_local_queue",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: a queue that only CPU 0 reads; gate: behaviour; rule: pinned-stuck */
/*
 * pins_to_cpu0: puts what is bound to one CPU into a queue of its own, which only CPU 0 reads: what is bound
 * to another is stuck.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

#define BOUND 2ULL

AT_OP3(s32, pins_to_cpu0_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, pins_to_cpu0_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 queue = p->nr_cpus_allowed == 1 && p->mm ? BOUND : AT_SHARED;

	scx_bpf_dsq_insert(p, queue, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, pins_to_cpu0_dispatch, s32, cpu, struct task_struct *, prev)
{
	if (cpu == 0)
		scx_bpf_dsq_move_to_local(BOUND);
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", pins_to_cpu0_init)
{
	s32 error = scx_bpf_create_dsq(AT_SHARED, -1);

	return error ? error : scx_bpf_create_dsq(BOUND, -1);
}

AT_EXIT(pins_to_cpu0_exit)

SEC(".struct_ops.link")
struct sched_ext_ops pins_to_cpu0_ops = {
	.select_cpu = (void *)pins_to_cpu0_select_cpu,
	.enqueue = (void *)pins_to_cpu0_enqueue,
	.dispatch = (void *)pins_to_cpu0_dispatch,
	.init = (void *)pins_to_cpu0_init,
	.exit = (void *)pins_to_cpu0_exit,
	.timeout_ms = 10000,
	.name = "pins_to_cpu0",
};

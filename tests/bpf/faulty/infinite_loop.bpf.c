/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: a loop without an end in dispatch; gate: load; rule: verifier */
/*
 * infinite_loop: waits in dispatch until there is a task, which may be never.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, infinite_loop_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, infinite_loop_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, infinite_loop_dispatch, s32, cpu, struct task_struct *, prev)
{
	while (!scx_bpf_dsq_move_to_local(AT_SHARED))
		;
}

AT_OP0(s32, "struct_ops.s", infinite_loop_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(infinite_loop_exit)

SEC(".struct_ops.link")
struct sched_ext_ops infinite_loop_ops = {
	.select_cpu = (void *)infinite_loop_select_cpu,
	.enqueue = (void *)infinite_loop_enqueue,
	.dispatch = (void *)infinite_loop_dispatch,
	.init = (void *)infinite_loop_init,
	.exit = (void *)infinite_loop_exit,
	.timeout_ms = 10000,
	.name = "infinite_loop",
};

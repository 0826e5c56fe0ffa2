/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: inline asm; gate: source; rule: no-inline-asm */
/*
 * A barrier in assembly. What else stands in assembly no rule can see.
 */
#include "at.h"

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, inline_asm_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, inline_asm_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	asm volatile("" ::: "memory");
	at_kick(p);
}

AT_OP2(void, inline_asm_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", inline_asm_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(inline_asm_exit)

SEC(".struct_ops.link")
struct sched_ext_ops inline_asm_ops = {
	.select_cpu = (void *)inline_asm_select_cpu,
	.enqueue = (void *)inline_asm_enqueue,
	.dispatch = (void *)inline_asm_dispatch,
	.init = (void *)inline_asm_init,
	.exit = (void *)inline_asm_exit,
	.timeout_ms = 10000,
	.name = "inline_asm",
};

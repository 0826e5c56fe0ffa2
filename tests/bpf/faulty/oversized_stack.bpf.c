/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: 600 bytes of local variables; gate: compile; rule: compile-error */
/*
 * oversized_stack: keeps the lengths of 75 queues on the stack, of which BPF has 512 bytes. clang sees
 * it.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, oversized_stack_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, oversized_stack_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, oversized_stack_dispatch, s32, cpu, struct task_struct *, prev)
{
	volatile u64 lengths[75];
	u32 each;

	for (each = 0; each < 75; each++)
		lengths[each] = scx_bpf_dsq_nr_queued(AT_SHARED);
	if (lengths[(u32)cpu % 75] || lengths[74])
		scx_bpf_dsq_move_to_local(AT_SHARED);
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", oversized_stack_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(oversized_stack_exit)

SEC(".struct_ops.link")
struct sched_ext_ops oversized_stack_ops = {
	.select_cpu = (void *)oversized_stack_select_cpu,
	.enqueue = (void *)oversized_stack_enqueue,
	.dispatch = (void *)oversized_stack_dispatch,
	.init = (void *)oversized_stack_init,
	.exit = (void *)oversized_stack_exit,
	.timeout_ms = 10000,
	.name = "oversized_stack",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: wrong licence; gate: source; rule: licence-gpl */
/*
 * Says that it is proprietary, beside what at.h says: which of the two counts is for the linker to decide, and without
 * GPL the kernel gives a program none of what a scheduler needs.
 */
#include "at.h"

char own_licence[] SEC("license") = "Proprietary";

/* How long a task may run before it goes to the back of the queue. */
AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, wrong_licence_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, wrong_licence_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, wrong_licence_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", wrong_licence_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(wrong_licence_exit)

SEC(".struct_ops.link")
struct sched_ext_ops wrong_licence_ops = {
	.select_cpu = (void *)wrong_licence_select_cpu,
	.enqueue = (void *)wrong_licence_enqueue,
	.dispatch = (void *)wrong_licence_dispatch,
	.init = (void *)wrong_licence_init,
	.exit = (void *)wrong_licence_exit,
	.timeout_ms = 10000,
	.name = "wrong_licence",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: those that wake go to the end of 400 ms slices; gate: behaviour; rule: wake-latency */
/*
 * late_to_wake: gives everybody slices of 400 ms and those that wake no place ahead.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 400000);

AT_OP3(s32, late_to_wake_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, late_to_wake_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, late_to_wake_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", late_to_wake_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(late_to_wake_exit)

SEC(".struct_ops.link")
struct sched_ext_ops late_to_wake_ops = {
	.select_cpu = (void *)late_to_wake_select_cpu,
	.enqueue = (void *)late_to_wake_enqueue,
	.dispatch = (void *)late_to_wake_dispatch,
	.init = (void *)late_to_wake_init,
	.exit = (void *)late_to_wake_exit,
	.timeout_ms = 10000,
	.name = "late_to_wake",
};

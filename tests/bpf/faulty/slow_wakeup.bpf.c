/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: each wake-up takes a millisecond; gate: behaviour; rule: slow */
/*
 * slow_wakeup: looks at the clock until a millisecond is over before it says where a task that wakes may run.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, slow_wakeup_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	struct bpf_iter_num each;
	u64 began = scx_bpf_now();

	bpf_iter_num_new(&each, 0, 1000000);
	while (bpf_iter_num_next(&each)) {
		if (scx_bpf_now() - began > AT_MS)
			break;
	}
	bpf_iter_num_destroy(&each);
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, slow_wakeup_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, slow_wakeup_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", slow_wakeup_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(slow_wakeup_exit)

SEC(".struct_ops.link")
struct sched_ext_ops slow_wakeup_ops = {
	.select_cpu = (void *)slow_wakeup_select_cpu,
	.enqueue = (void *)slow_wakeup_enqueue,
	.dispatch = (void *)slow_wakeup_dispatch,
	.init = (void *)slow_wakeup_init,
	.exit = (void *)slow_wakeup_exit,
	.timeout_ms = 10000,
	.name = "slow_wakeup",
};

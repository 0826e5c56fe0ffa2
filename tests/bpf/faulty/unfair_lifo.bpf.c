/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: last come, first served; gate: behaviour; rule: unfair */
/*
 * unfair_lifo: whoever came last runs next, and those that came first wait until all later ones are content.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, unfair_lifo_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, unfair_lifo_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 age = 1ULL << 62;

	scx_bpf_dsq_insert_vtime(p, AT_SHARED, slice_us * AT_US, age - scx_bpf_now(), enq_flags);
	at_kick(p);
}

AT_OP2(void, unfair_lifo_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", unfair_lifo_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(unfair_lifo_exit)

SEC(".struct_ops.link")
struct sched_ext_ops unfair_lifo_ops = {
	.select_cpu = (void *)unfair_lifo_select_cpu,
	.enqueue = (void *)unfair_lifo_enqueue,
	.dispatch = (void *)unfair_lifo_dispatch,
	.init = (void *)unfair_lifo_init,
	.exit = (void *)unfair_lifo_exit,
	.timeout_ms = 10000,
	.name = "unfair_lifo",
};

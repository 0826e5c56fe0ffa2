/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * two_levels: tasks that wake wait in a queue of their own, which is looked at first; after `turns` times the other
 * queue is once, so that those that never sleep are not kept waiting for ever.
 */
#include "at.h"

/* How long a task may run. */
AT_KNOB(u64, slice_us, 3000);
/* After so many times the second queue goes first once. */
AT_KNOB(u32, turns, 3);

#define WOKEN 1ULL
#define REST 2ULL

static u32 turn;

AT_OP3(s32, two_levels_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, two_levels_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 queue = enq_flags & SCX_ENQ_WAKEUP ? WOKEN : REST;

	scx_bpf_dsq_insert(p, queue, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, two_levels_dispatch, s32, cpu, struct task_struct *, prev)
{
	u32 now = __sync_fetch_and_add(&turn, 1);
	bool rest_first = now % ((turns ?: 1) + 1) == 0;

	if (rest_first && scx_bpf_dsq_move_to_local(REST))
		return;
	if (scx_bpf_dsq_move_to_local(WOKEN))
		return;
	scx_bpf_dsq_move_to_local(REST);
}

AT_OP0(s32, "struct_ops.s", two_levels_init)
{
	s32 error = scx_bpf_create_dsq(WOKEN, -1);

	return error ? error : scx_bpf_create_dsq(REST, -1);
}

AT_EXIT(two_levels_exit)

SEC(".struct_ops.link")
struct sched_ext_ops two_levels_ops = {
	.select_cpu = (void *)two_levels_select_cpu,
	.enqueue = (void *)two_levels_enqueue,
	.dispatch = (void *)two_levels_dispatch,
	.init = (void *)two_levels_init,
	.exit = (void *)two_levels_exit,
	.timeout_ms = 10000,
	.name = "two_levels",
};

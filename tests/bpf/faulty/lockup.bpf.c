/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: a callback that may run for hours on machines with more CPUs; gate: source; rule: bounded-work */
/*
 * lockup: on more than two CPUs, dispatch counts to 8,000,000 and for each of these to 8,000,000 again, with interrupts
 * off. The verifier follows both loops once; the watchdog cannot end them.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, lockup_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, lockup_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_INLINE void count(void)
{
	struct bpf_iter_num inner;

	bpf_iter_num_new(&inner, 0, 8000000);
	while (bpf_iter_num_next(&inner))
		;
	bpf_iter_num_destroy(&inner);
}

AT_OP2(void, lockup_dispatch, s32, cpu, struct task_struct *, prev)
{
	struct bpf_iter_num outer;

	scx_bpf_dsq_move_to_local(AT_SHARED);
	if (scx_bpf_nr_cpu_ids() <= 2)
		return;
	bpf_iter_num_new(&outer, 0, 8000000);
	while (bpf_iter_num_next(&outer))
		count();
	bpf_iter_num_destroy(&outer);
}

AT_OP0(s32, "struct_ops.s", lockup_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(lockup_exit)

SEC(".struct_ops.link")
struct sched_ext_ops lockup_ops = {
	.select_cpu = (void *)lockup_select_cpu,
	.enqueue = (void *)lockup_enqueue,
	.dispatch = (void *)lockup_dispatch,
	.init = (void *)lockup_init,
	.exit = (void *)lockup_exit,
	.timeout_ms = 10000,
	.name = "lockup",
};

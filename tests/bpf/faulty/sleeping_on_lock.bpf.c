/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: a function that sleeps is called with the RCU read lock held; gate: load; rule: verifier */
/*
 * sleeping_on_lock: creates its queue, which may sleep, while it holds a lock under which nobody may.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

AT_OP3(s32, sleeping_on_lock_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, sleeping_on_lock_enqueue, struct task_struct *, p, u64, enq_flags)
{
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);
	at_kick(p);
}

AT_OP2(void, sleeping_on_lock_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", sleeping_on_lock_init)
{
	s32 error;

	bpf_rcu_read_lock();
	error = scx_bpf_create_dsq(AT_SHARED, -1);
	bpf_rcu_read_unlock();
	return error;
}

AT_EXIT(sleeping_on_lock_exit)

SEC(".struct_ops.link")
struct sched_ext_ops sleeping_on_lock_ops = {
	.select_cpu = (void *)sleeping_on_lock_select_cpu,
	.enqueue = (void *)sleeping_on_lock_enqueue,
	.dispatch = (void *)sleeping_on_lock_dispatch,
	.init = (void *)sleeping_on_lock_init,
	.exit = (void *)sleeping_on_lock_exit,
	.timeout_ms = 10000,
	.name = "sleeping_on_lock",
};

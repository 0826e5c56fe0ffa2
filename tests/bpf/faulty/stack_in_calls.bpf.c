/* SPDX-License-Identifier: GPL-2.0-only */
/* fault: two functions that call each other take 640 bytes of stack; gate: load; rule: verifier */
/*
 * stack_in_calls: each of its functions keeps within the 512 bytes of stack that BPF has, but one calls the other.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);

static __attribute__((noinline)) u64 lengths_sum(void)
{
	volatile u64 lengths[40];
	u64 sum = 0;
	u32 each;

	for (each = 0; each < 40; each++)
		lengths[each] = scx_bpf_dsq_nr_queued(AT_SHARED);
	for (each = 0; each < 40; each++)
		sum += lengths[each];
	return sum;
}

AT_OP3(s32, stack_in_calls_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{
	return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);
}

AT_OP2(void, stack_in_calls_enqueue, struct task_struct *, p, u64, enq_flags)
{
	volatile u64 sums[40];
	u32 each;

	for (each = 0; each < 40; each++)
		sums[each] = lengths_sum();
	scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US + (sums[7] & 1), enq_flags);
	at_kick(p);
}

AT_OP2(void, stack_in_calls_dispatch, s32, cpu, struct task_struct *, prev)
{
	scx_bpf_dsq_move_to_local(AT_SHARED);
}

AT_OP0(s32, "struct_ops.s", stack_in_calls_init)
{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}

AT_EXIT(stack_in_calls_exit)

SEC(".struct_ops.link")
struct sched_ext_ops stack_in_calls_ops = {
	.select_cpu = (void *)stack_in_calls_select_cpu,
	.enqueue = (void *)stack_in_calls_enqueue,
	.dispatch = (void *)stack_in_calls_dispatch,
	.init = (void *)stack_in_calls_init,
	.exit = (void *)stack_in_calls_exit,
	.timeout_ms = 10000,
	.name = "stack_in_calls",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * at_stall: a scheduler that breaks the first rule on purpose, for tests. It works until `stall_after_ms` after it was
 * attached, and then drops a task whenever it is about to queue one of a program called "stallme" (or any, with
 * `stall_all`): the kernel's watchdog must throw it out for a runnable task stall.
 */
#include "at.h"

AT_KNOB(u64, slice_us, 5000);
AT_KNOB(u64, stall_after_ms, 1000);

static u64 attached_ns;

AT_OP2(void, at_stall_enqueue, struct task_struct *, p, u64, enq_flags)
{
	u64 now = scx_bpf_now();

	if (!attached_ns)
		attached_ns = now;
	/* kernel threads keep running, or the watchdog itself could not */
	if (now - attached_ns > stall_after_ms * AT_MS && p->mm)
		return;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_us * AT_US, enq_flags);
}

AT_EXIT(at_stall_exit)

SEC(".struct_ops.link")
struct sched_ext_ops at_stall_ops = {
	.enqueue = (void *)at_stall_enqueue,
	.exit = (void *)at_stall_exit,
	.timeout_ms = 2000,
	.name = "at_stall",
};

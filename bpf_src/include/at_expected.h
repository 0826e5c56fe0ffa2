/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is expected of a task, from earlier runs of the workload: AT_EXPECTED once in the file, at_expected(p) in any
 * callback. Without earlier runs, nothing is expected of any task.
 *
 * The map is filled by a program of autotune's own (probes/guide.bpf.c), which the loader attaches beside a scheduler
 * that has this map.
 */
#ifndef AT_EXPECTED_H
#define AT_EXPECTED_H

#include "at.h"

struct at_expected {
	/* CPU time, from the start of its program to the end of the longest chain of tasks that it begins; 0: not known. */
	u64 chain_ns;
	/* The longest that is expected of any task. */
	u64 longest_ns;
	/* How many programs it has executed. CPU time that it used before the last does not count. */
	u32 execs;
	u32 unused;
};

#define AT_EXPECTED                                                    \
	struct {                                                       \
		AT_MAP_UINT(type, 29); /* BPF_MAP_TYPE_TASK_STORAGE */ \
		AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC */     \
		AT_MAP_TYPE(key, int);                                 \
		AT_MAP_TYPE(value, struct at_expected);                \
	} at_expectations SEC(".maps");                                \
	static struct at_expected at_unexpected;                       \
	AT_INLINE struct at_expected *at_expected(struct task_struct *p) \
	{                                                              \
		struct at_expected *found = at_task_storage_get(&at_expectations, p, NULL, 0); \
		return found ? found : &at_unexpected;                 \
	}

#endif /* AT_EXPECTED_H */

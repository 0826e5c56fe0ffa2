/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every scheduler here needs: the kernel's types and kfuncs, the few macros that make a C file a BPF object,
 * knobs, an exit record, state of each task, queues with a fallback, and the choice of an idle CPU.
 *
 * The rules that keep a scheduler from being ejected:
 *  - enqueue always puts the task into a queue, whatever it could not find out about it;
 *  - a task that may run on one CPU only has that CPU woken (at_kick), or no CPU ever picks it;
 *  - a queue that is filled is emptied by some dispatch path.
 */
#ifndef AT_H
#define AT_H

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wmissing-declarations"
#pragma clang diagnostic ignored "-Wmicrosoft-anon-tag"
#include <linux/bpf/vmlinux.h>
#pragma clang diagnostic pop

#define SEC(name) __attribute__((section(name), used))
#define AT_INLINE static inline __attribute__((always_inline))

#ifndef NULL
#define NULL ((void *)0)
#endif

char _license[] SEC("license") = "GPL";

/* --- maps (libbpf creates them by their BTF) ------------------------------------------------------------ */

#define AT_MAP_UINT(name, value) int(*name)[value]
#define AT_MAP_TYPE(name, type) typeof(type) *name

/* --- helpers of the kernel, by their stable numbers (include/uapi/linux/bpf.h) --------------------------- */

static long (*const at_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static void *(*const at_task_storage_get)(void *map, struct task_struct *p, void *value, u64 flags) = (void *)156;

#define AT_STORAGE_CREATE 1ULL /* BPF_LOCAL_STORAGE_GET_F_CREATE */

/* --- state of each task ----------------------------------------------------------------------------------- */

/*
 * One struct for each task, all zero at first: AT_TASK_CTX(struct task_ctx) once in the file, at_ctx_create(p) in
 * init_task, at_ctx(p) everywhere else. at_ctx(p) is never NULL: tasks for which there was no memory share one struct,
 * so what is read there may be another task's. Decide nothing by it that could lose a task.
 */
#define AT_TASK_CTX(ctx_type)                                          \
	struct {                                                       \
		AT_MAP_UINT(type, 29); /* BPF_MAP_TYPE_TASK_STORAGE */ \
		AT_MAP_UINT(map_flags, 1); /* BPF_F_NO_PREALLOC */     \
		AT_MAP_TYPE(key, int);                                 \
		AT_MAP_TYPE(value, ctx_type);                          \
	} at_tasks SEC(".maps");                                       \
	static ctx_type at_nobody;                                     \
	AT_INLINE ctx_type *at_ctx(struct task_struct *p)              \
	{                                                              \
		ctx_type *ctx = at_task_storage_get(&at_tasks, p, NULL, 0); \
		return ctx ? ctx : &at_nobody;                         \
	}                                                              \
	AT_INLINE ctx_type *at_ctx_create(struct task_struct *p)       \
	{                                                              \
		ctx_type *ctx = at_task_storage_get(&at_tasks, p, NULL, AT_STORAGE_CREATE); \
		return ctx ? ctx : &at_nobody;                         \
	}

/* --- callbacks: the kernel passes an array of arguments -------------------------------------------------- */

#define AT_OP0(ret, section, name)                                     \
	AT_INLINE ret name##_body(void);                               \
	SEC(section "/" #name) ret name(u64 *ctx) { return name##_body(); } \
	AT_INLINE ret name##_body(void)

#define AT_OP1(ret, name, t0, a0)                                      \
	AT_INLINE ret name##_body(t0 a0);                              \
	SEC("struct_ops/" #name) ret name(u64 *ctx) { return name##_body((t0)ctx[0]); } \
	AT_INLINE ret name##_body(t0 a0)

#define AT_OP2(ret, name, t0, a0, t1, a1)                              \
	AT_INLINE ret name##_body(t0 a0, t1 a1);                       \
	SEC("struct_ops/" #name) ret name(u64 *ctx) { return name##_body((t0)ctx[0], (t1)ctx[1]); } \
	AT_INLINE ret name##_body(t0 a0, t1 a1)

#define AT_OP3(ret, name, t0, a0, t1, a1, t2, a2)                      \
	AT_INLINE ret name##_body(t0 a0, t1 a1, t2 a2);                \
	SEC("struct_ops/" #name) ret name(u64 *ctx) { return name##_body((t0)ctx[0], (t1)ctx[1], (t2)ctx[2]); } \
	AT_INLINE ret name##_body(t0 a0, t1 a1, t2 a2)

/* --- knobs ----------------------------------------------------------------------------------------------- */

/* A knob is written by the loader before the object is loaded; afterwards it is a constant to the verifier. */
#define AT_KNOB(type, name, value) const volatile type name = value

/* The loader attaches with SCX_OPS_SWITCH_PARTIAL when this is set: only SCHED_EXT tasks are ours. */
AT_KNOB(bool, partial, false);

#define AT_US 1000ULL    /* nanoseconds in a microsecond */
#define AT_MS 1000000ULL /* nanoseconds in a millisecond */

/* --- exit record: why the scheduler went, read by the loader ---------------------------------------------- */

struct at_exit_record {
	u64 kind; /* enum scx_exit_kind; 0 while it runs */
	s64 exit_code;
	char reason[128];
	char msg[1024];
};

struct at_exit_record at_exit SEC(".data.at_exit");

AT_INLINE void at_record_exit(struct scx_exit_info *info)
{
	at_probe_read_kernel_str(at_exit.reason, sizeof(at_exit.reason), info->reason);
	at_probe_read_kernel_str(at_exit.msg, sizeof(at_exit.msg), info->msg);
	at_exit.exit_code = info->exit_code;
	at_exit.kind = info->kind; /* last: the loader takes it as "the record is complete" */
}

#define AT_EXIT(name)                                                  \
	AT_OP1(void, name, struct scx_exit_info *, info) { at_record_exit(info); }

/* --- queues ---------------------------------------------------------------------------------------------- */

/* The queue of all CPUs. A task without a better place goes here, and every dispatch looks here. */
#define AT_SHARED 1ULL

/* Whether a is before b, in a clock that may wrap. */
AT_INLINE bool at_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

/* Position in a queue. Kernels from 7.1 on demand their kfunc; for older ones the field is written. */
AT_INLINE void at_set_vtime(struct task_struct *p, u64 vtime)
{
	if (scx_bpf_task_set_dsq_vtime)
		scx_bpf_task_set_dsq_vtime(p, vtime);
	else
		p->scx.dsq_vtime = vtime;
}

/* What a task used of the slice it was given, weighted: at weight 100 (nice 0) virtual time is real time. */
AT_INLINE u64 at_weighted(struct task_struct *p, u64 ran_ns)
{
	u32 weight = p->scx.weight ?: 1;

	return ran_ns * 100 / weight;
}

/* --- CPUs ------------------------------------------------------------------------------------------------ */

/* Wake a CPU that may run the task, if one is idle; for a pinned task, its own. */
AT_INLINE void at_kick(struct task_struct *p)
{
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		return;
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/*
 * Choose a CPU for a task that wakes; on an idle one it starts at once with this slice, unless tasks wait at the CPU
 * where it was: `waiting` says how many.
 *
 * They might wait for ever. While any CPU is idle, the kernel calls the CPU of the waker idle too, where that is about to
 * sleep (SCX_WAKE_SYNC). Two tasks that wake each other through a pipe then stay on one CPU, which always has its next
 * task and looks into no queue, and a task that may only run there waits for as long as they go on.
 */
AT_INLINE s32 at_select_cpu_beside(struct task_struct *p, s32 prev_cpu, u64 wake_flags, u64 slice_ns, s32 waiting)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && waiting <= 0)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

/* The same for tasks that wait in AT_SHARED. Who waits in other queues is not known here: without AT_SHARED, a task whose
 * waker is about to sleep does not start at once. */
AT_INLINE s32 at_select_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags, u64 slice_ns)
{
	s32 waiting = scx_bpf_dsq_nr_queued(AT_SHARED);

	if (waiting < 0)
		waiting = wake_flags & SCX_WAKE_SYNC ? 1 : 0;
	return at_select_cpu_beside(p, prev_cpu, wake_flags, slice_ns, waiting);
}

#endif /* AT_H */

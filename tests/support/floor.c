/*
 * floor: the least that a PID 1 can do for the same result, so that guest-init's own cost is what it takes above this.
 * It makes guest-init's mounts, calls finit_module for each line of a fixed list, and execve for the agent with the
 * arguments behind ` -- `. It looks nothing up and checks nothing. It has no C library, whose start alone costs some
 * 0.3 M instructions.
 *
 *   cc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -o floor floor.c
 *
 * The list is the file FILE of floor=FILE on the kernel's command line, which the kernel leaves in the environment. A line
 * is a module's whole path and, after one blank, its parameters. A line that does not begin with `/` is the tag of a
 * virtio-fs share, which is mounted at /mnt. One image serves guest-init and the floor: rdinit= chooses.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/module.h>
#include <linux/mount.h>

/* Declares a variable that lies in a register. */
#define IN(register_name, name, value) register long name asm(register_name) = (long)(value)

static long call(long number, const void *a, const void *b, const void *c, long d, const void *e)
{
#if defined(__x86_64__)
	IN("rax", n, number);
	IN("rdi", r0, a);
	IN("rsi", r1, b);
	IN("rdx", r2, c);
	IN("r10", r3, d);
	IN("r8", r4, e);
	asm volatile("syscall" : "+r"(n) : "r"(r0), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "rcx", "r11", "memory");
	return n;
#elif defined(__aarch64__)
	IN("x8", n, number);
	IN("x0", r0, a);
	IN("x1", r1, b);
	IN("x2", r2, c);
	IN("x3", r3, d);
	IN("x4", r4, e);
	asm volatile("svc #0" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
	return r0;
#elif defined(__riscv)
	IN("a7", n, number);
	IN("a0", r0, a);
	IN("a1", r1, b);
	IN("a2", r2, c);
	IN("a3", r3, d);
	IN("a4", r4, e);
	asm volatile("ecall" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
	return r0;
#elif defined(__s390x__)
	IN("r1", n, number);
	IN("r2", r0, a);
	IN("r3", r1, b);
	IN("r4", r2, c);
	IN("r5", r3, d);
	IN("r6", r4, e);
	asm volatile("svc 0" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
	return r0;
#elif defined(__powerpc64__)
	IN("r0", n, number);
	IN("r3", r0, a);
	IN("r4", r1, b);
	IN("r5", r2, c);
	IN("r6", r3, d);
	IN("r7", r4, e);
	asm volatile("sc\n\tbns+ 1f\n\tneg 3, 3\n1:"
		     : "+r"(n), "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3), "+r"(r4)
		     :
		     : "r8", "r9", "r10", "r11", "r12", "cr0", "ctr", "xer", "memory");
	return r0;
#endif
}

static void mount(const char *kind, const char *target, long flags, const char *data)
{
	call(__NR_mkdirat, (void *)AT_FDCWD, target, (void *)0755, 0, 0);
	call(__NR_mount, kind, target, kind, flags, data);
}

static long open(const char *path)
{
	return call(__NR_openat, (void *)AT_FDCWD, path, (void *)(O_RDONLY | O_CLOEXEC), 0, 0);
}

/* Follows a line, and returns the next one. After a failure the module is missing in the agent's report. */
static char *follow(char *line)
{
	char *parameters = "", *end = line, *path_end;
	long file;

	while (*end != '\n') {
		if (*end == ' ' && !*parameters) {
			*end = 0;
			parameters = end + 1;
		}
		end++;
	}
	*end = 0;
	path_end = *parameters ? parameters - 1 : end;
	if (*line != '/') {
		call(__NR_mount, line, "/mnt", "virtiofs", MS_RDONLY, 0);
		return end + 1;
	}
	file = open(line);
	/* All names end in .ko but those of compressed files. */
	call(__NR_finit_module, (void *)file, parameters, (void *)(path_end[-1] == 'o' ? 0L : MODULE_INIT_COMPRESSED_FILE), 0,
	     0);
	call(__NR_close, (void *)file, 0, 0, 0, 0);
	return end + 1;
}

/* The value of floor= in the environment, or 0. */
static const char *list_of(char **environment)
{
	for (; *environment; environment++) {
		const char *key = "floor=", *at = *environment;

		while (*key && *at == *key)
			at++, key++;
		if (!*key)
			return at;
	}
	return 0;
}

/* `stack` is what the kernel leaves a program: argc, argv, 0, the environment, 0 (System V ABI, 3.4.1). */
__attribute__((used)) static void init(long *stack)
{
	static char list[64 * 1024];
	char **arguments = (char **)(stack + 1);
	char **environment = arguments + stack[0] + 1;
	char *line = list;
	long file, length;

	mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	mount("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");

	file = open(list_of(environment));
	length = call(__NR_read, (void *)file, list, (void *)sizeof list, 0, 0);
	call(__NR_close, (void *)file, 0, 0, 0, 0);
	while (line < list + length)
		line = follow(line);

	arguments[0] = "/sbin/agent";
	call(__NR_execve, arguments[0], arguments, environment, 0, 0);
	call(__NR_exit, (void *)1, 0, 0, 0, 0);
}

asm(".globl _start\n"
    "_start:\n"
#if defined(__x86_64__)
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call init\n"
#elif defined(__aarch64__)
    "	mov x0, sp\n"
    "	bl init\n"
#elif defined(__riscv)
    "	.option push\n"
    "	.option norelax\n"
    "	lla gp, __global_pointer$\n"
    "	.option pop\n"
    "	mv a0, sp\n"
    "	call init\n"
#elif defined(__s390x__)
    "	lgr %r2, %r15\n"
    "	aghi %r15, -160\n"
    "	brasl %r14, init\n"
#elif defined(__powerpc64__)
    "	addis 2, 12, .TOC. - _start@ha\n"
    "	addi 2, 2, .TOC. - _start@l\n"
    "	mr 3, 1\n"
    "	stdu 1, -32(1)\n"
    "	bl init\n"
#endif
);

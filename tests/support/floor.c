/*
 * floor: the least that a PID 1 can do for the same result, so that guest-init's own cost is what it takes above this.
 * It makes guest-init's mounts, calls finit_module for each line of a fixed list, and execve for the agent with the
 * arguments behind ` -- `. It looks nothing up and checks nothing. It has no C library, whose start alone costs some
 * 0.3 M instructions.
 *
 *   cc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -o floor floor.c        (x86_64)
 *
 * The list is the file FILE of floor=FILE on the kernel's command line, which the kernel leaves in the environment. A line
 * is a module's whole path and, after one blank, its parameters. A line that does not begin with `/` is the tag of a
 * virtio-fs share, which is mounted at /mnt. One image serves guest-init and the floor: rdinit= chooses.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

static long call(long number, const void *a, const void *b, const void *c, long d, const void *e)
{
	register long r10 asm("r10") = d;
	register const void *r8 asm("r8") = e;
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
		     : "rcx", "r11", "memory");
	return result;
}

static void mount(const char *kind, const char *target, long flags, const char *data)
{
	call(__NR_mkdir, target, (void *)0755, 0, 0, 0);
	call(__NR_mount, kind, target, kind, flags, data);
}

static long open(const char *path)
{
	return call(__NR_open, path, (void *)(O_RDONLY | O_CLOEXEC), 0, 0, 0);
}

/* Follows a line, and returns the next one. After a failure the module is missing in the agent's report. */
static char *follow(char *line)
{
	char *parameters = "", *end = line;
	long file;

	while (*end != '\n') {
		if (*end == ' ' && !*parameters) {
			*end = 0;
			parameters = end + 1;
		}
		end++;
	}
	*end = 0;
	if (*line != '/') {
		call(__NR_mount, line, "/mnt", "virtiofs", MS_RDONLY, 0);
		return end + 1;
	}
	file = open(line);
	call(__NR_finit_module, (void *)file, parameters, 0, 0, 0);
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
    "_start: mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call init\n");

/*
 * For a report that must come about whatever state the machine is in: a program that is not there,
 * that hangs on a dead disk or a full bus, or that never stops writing is a line in it, no fault.
 */
#include "ctl/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 16384, NOT_FOUND = 127 };

static _Noreturn void become(const char *const *argv, int out)
{
	int none = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (none >= 0 && dup2(none, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(out, STDERR_FILENO) >= 0 && setenv("LC_ALL", "C.UTF-8", 1) == 0 &&
	    setenv("SYSTEMD_COLORS", "0", 1) == 0)
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(NOT_FOUND);
}

/* Until its end, the limit, or too much. Why it was not to its end, or NULL. */
static const char *read_all(int fd, usec_t end, size_t max, struct buf *ret)
{
	for (size_t left = max; left > 0;) {
		usec_t now = clock_boot_usec();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint8_t *room = buf_reserve(ret, PIECE);
		ssize_t n;

		if (now >= end)
			return "it took too long, and was ended";
		if (!room)
			return NULL; /* which `ret` says */
		if (poll(&p, 1, (int)((end - now) / USEC_PER_MSEC) + 1) <= 0)
			continue;
		n = read(fd, room, MIN(left, (size_t)PIECE));
		if (n == 0)
			return NULL;
		if (n < 0 && errno != EINTR)
			return strerror(errno);
		ret->size += n > 0 ? (size_t)n : 0;
		left -= n > 0 ? (size_t)n : 0;
	}
	return "it is longer than this";
}

static void wait_for(pid_t pid, const char *what, const char *problem, struct buf *ret)
{
	int status = 0;

	if (problem)
		(void)kill(pid, SIGKILL); /* ours, and not waited for yet */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (problem)
		buf_printf(ret, "\n[%s: %s]\n", what, problem);
	else if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
		buf_printf(ret, "[%s is not there]\n", what);
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		buf_printf(ret, "[%s returned %d]\n", what, WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		buf_printf(ret, "[%s was ended by signal %d]\n", what, WTERMSIG(status));
}

void program_run(const char *const *argv, usec_t limit, size_t max, struct buf *ret)
{
	usec_t end = clock_boot_usec() + limit;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		buf_printf(ret, "[%s: %s]\n", argv[0], strerror(errno));
		return;
	}
	pid = fork();
	if (pid == 0)
		become(argv, ends[1]);
	(void)close(ends[1]); /* the program has its own */
	if (pid < 0)
		buf_printf(ret, "[%s: %s]\n", argv[0], strerror(errno));
	else
		wait_for(pid, argv[0], read_all(ends[0], end, max, ret), ret);
	(void)close(ends[0]); /* only read from */
}

/* Starts dbus-daemon with a configuration of five lines, and waits until it says its address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake-bus.h"
#include "util/macro.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char configuration[] =
	"<busconfig><type>session</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>\n"
	"<policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\n"
	"<allow own=\"*\"/><allow user=\"*\"/></policy>\n"
	"</busconfig>\n";

static void run_daemon(const char *file, int address_fd)
{
	char print[32];

	(void)snprintf(print, sizeof(print), "--print-address=%d", address_fd);
	/* it complains when it may not raise its own limits */
	if (!freopen("/dev/null", "w", stderr) || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    fcntl(address_fd, F_SETFD, 0) < 0)
		_exit(126);
	execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", print, "--config-file",
	       file, NULL);
	_exit(127);
}

void fake_bus_start(struct fake_bus *b)
{
	char file[64], address[128];
	FILE *f;
	int fds[2];
	ssize_t n;

	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/fake-bus-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(file, sizeof(file), "%s/conf", b->dir);
	f = fopen(file, "we");
	assert_non_null(f);
	assert_true(fprintf(f, configuration, b->dir) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0)
		run_daemon(file, fds[1]);
	assert_int_equal(close(fds[1]), 0);
	n = read(fds[0], address, sizeof(address) - 1);
	if (n <= 0)
		fail_msg("dbus-daemon does not start: install the package dbus-daemon");
	assert_int_equal(close(fds[0]), 0);
	(void)snprintf(address, sizeof(address), "unix:path=%s/bus", b->dir);
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1), 0);
}

void fake_bus_stop(struct fake_bus *b)
{
	char path[64];

	assert_int_equal(kill(b->pid, SIGKILL), 0);
	assert_int_equal(waitpid(b->pid, NULL, 0), b->pid);
	(void)snprintf(path, sizeof(path), "%s/conf", b->dir);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/bus", b->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(b->dir), 0);
}

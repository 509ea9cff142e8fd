/*
 * Holds the simulator (a real process) and the daemon's source (on a real loop) to each other:
 * every byte arrives exactly as the truth file says, what was dropped or unread is exactly what it
 * says too, and nonsense from a false simulator ends in a sentence. Waits on sockets, processes and
 * inotify only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/source.h"
#include "source/strap.h"
#include "util/buf.h"
#include "util/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY	     (2 * USEC_PER_MSEC)
#define FIRST	     "c0:de:00:00:00:01"
#define LINE_ECG     "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
#define DEVICES_SEEN 4

/* One test's directory, simulator, loop and everything that was heard: lines "DEVICE UUID HEX". */
struct bench {
	usec_t latest; /* the most that a frame was read late */
	char dir[64], socket[96], control[104], truth[96];
	pid_t simulator;
	sd_event *event;
	struct source *source;
	struct buf heard;
	int heard_fd; /* of a child that listens; else -1 */
	unsigned n_frames, n_connected, n_disconnected, n_problems, n_states;
	enum gap_reason why;
	char problem[256];
	bool there, linked[DEVICES_SEEN];
};

static unsigned device_number(const char *device)
{
	return (unsigned)strtoul(device + 15, NULL, 16) % DEVICES_SEEN;
}

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	struct bench *b = userdata;

	assert_false(b->linked[device_number(device)]);
	assert_memory_equal(name, "Simulated strap", 15);
	b->linked[device_number(device)] = true;
	b->n_connected++;
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct bench *b = userdata;
	size_t from = b->heard.size;

	assert_true(b->linked[device_number(f->device)]);
	assert_true(f->boot_us <= f->read_us && f->read_us <= clock_boot_usec());
	b->latest = MAX(b->latest, f->read_us - f->boot_us);
	b->n_frames++;
	buf_printf(&b->heard, "%s %s ", f->device, characteristic_uuid(f->characteristic));
	for (size_t i = 0; i < f->size; i++)
		buf_printf(&b->heard, "%02x", f->data[i]);
	buf_string(&b->heard, "\n");
	if (b->heard_fd >= 0)
		assert_int_equal(write(b->heard_fd, b->heard.data + from, b->heard.size - from),
				 b->heard.size - from);
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	struct bench *b = userdata;

	assert_true(b->linked[device_number(device)]);
	b->linked[device_number(device)] = false;
	b->n_disconnected++;
	b->why = why;
}

static void on_state(void *userdata, const char *problem)
{
	struct bench *b = userdata;

	b->n_states++;
	b->n_problems += problem != NULL;
	b->there = problem == NULL;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem ? problem : "");
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/test-simulate-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->socket, sizeof(b->socket), "%s/straps", b->dir);
	(void)snprintf(b->control, sizeof(b->control), "%s.ctl", b->socket);
	(void)snprintf(b->truth, sizeof(b->truth), "%s/truth", b->dir);
	b->heard_fd = -1;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	if (b->simulator > 0) {
		(void)kill(b->simulator, SIGKILL);
		(void)waitpid(b->simulator, NULL, 0);
	}
	source_free(b->source);
	sd_event_unref(b->event);
	buf_done(&b->heard);
	(void)unlink(b->socket);
	(void)unlink(b->truth);
	(void)unlink(b->control);
	assert_int_equal(rmdir(b->dir), 0);
	free(b);
	return 0;
}

/*
 * Words in one string, split at blanks; ends in _exit's stead with exit(), so that leaks are seen.
 */
static pid_t spawn(const char *line)
{
	bool quiet = strstr(line, "quiet ") == line;
	char *argv[32], *save = NULL, text[512];
	int argc = 0;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	if (quiet && (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout)))
		exit(EXIT_FAILURE);
	(void)snprintf(text, sizeof(text), "%s", line + (quiet ? strlen("quiet ") : 0));
	for (char *w = strtok_r(text, " ", &save); w && argc < 31; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	exit(simulator_main(argc, argv));
}

static int finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void start_simulator(struct bench *b, const char *options)
{
	char line[512];

	(void)snprintf(line, sizeof(line), "simulate --socket %s --truth %s %s", b->socket,
		       b->truth, options);
	b->simulator = spawn(line);
	assert_true(b->simulator > 0);
}

static void stop_simulator(struct bench *b)
{
	assert_int_equal(finish(b->simulator), 0);
	b->simulator = 0;
}

static void tell(struct bench *b, const char *command, const char *expected)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char answer[128] = "";

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", b->control);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(send(fd, command, strlen(command), 0) > 0);
	assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
	assert_memory_equal(answer, expected, strlen(expected));
	(void)close(fd);
}

static void listen_to(struct bench *b)
{
	struct source_handler handler = {.userdata = b,
					 .connected = on_connected,
					 .frame = on_frame,
					 .disconnected = on_disconnected,
					 .state = on_state};

	assert_true(sd_event_new(&b->event) >= 0);
	assert_int_equal(source_simulate_new(b->event, b->socket, RETRY, &handler, &b->source), 0);
}

#define RUN_UNTIL(b, condition) \
	while (!(condition))    \
	assert_true(sd_event_run((b)->event, USEC_INFINITY) >= 0)

/* The whole file; the caller frees. */
static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf text = {0};
	ssize_t n = 1;

	while (fd >= 0 && n > 0) {
		n = read(fd, buf_reserve(&text, 65536), 65536);
		text.size += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		(void)close(fd);
	buf_append(&text, "", 1);
	assert_non_null(text.data);
	return (char *)text.data;
}

static unsigned count(const char *text, const char *needle)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, needle)); p++)
		n++;
	return n;
}

/* Until the truth says this n times; the directory is watched, not the clock. */
static void wait_truth(struct bench *b, const char *needle, unsigned n)
{
	int fd = inotify_init1(IN_CLOEXEC);
	char events[4096];

	assert_true(inotify_add_watch(fd, b->dir, IN_MODIFY | IN_CREATE) >= 0);
	for (;;) {
		char *text = read_file(b->truth);
		bool found = count(text, needle) >= n;

		free(text);
		if (found)
			break;
		assert_true(read(fd, events, sizeof(events)) > 0);
	}
	(void)close(fd);
}

static bool was_unread(const char *truth, unsigned long n)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "{\"unread\":%lu}", n);
	return strstr(truth, line) != NULL;
}

static void member(const char *line, const char *key, char *ret, size_t size)
{
	const char *p = strstr(line, key);
	size_t n = p ? strcspn(p + strlen(key), "\",}") : 0;

	assert_non_null(p);
	assert_true(n < size);
	memcpy(ret, p + strlen(key), n);
	ret[n] = '\0';
}

/*
 * What the truth says was read of this device and characteristic, as lines of hexadecimal digits.
 */
static void expect(const char *truth, const char *device, const char *uuid, struct buf *ret)
{
	char text[1024], wanted[128];
	unsigned long n;

	(void)snprintf(wanted, sizeof(wanted), "\"device\":\"%s\",\"char\":\"%s\"", device, uuid);
	for (const char *line = truth; *line; line += strcspn(line, "\n") + 1) {
		char one[1024];

		(void)snprintf(one, sizeof(one), "%.*s", (int)strcspn(line, "\n"), line);
		if (sscanf(one, "{\"n\":%lu", &n) != 1 || !strstr(one, wanted) ||
		    !strstr(one, "\"handed\":\"yes\"") || was_unread(truth, n))
			continue;
		member(one, "\"hex\":\"", text, sizeof(text));
		buf_printf(ret, "%s\n", text);
	}
}

static void received(const char *heard, const char *device, const char *uuid, struct buf *ret)
{
	char wanted[64];
	size_t n;

	(void)snprintf(wanted, sizeof(wanted), "%s %s ", device, uuid);
	n = strlen(wanted);
	for (const char *line = heard; *line; line += strcspn(line, "\n") + 1)
		if (strncmp(line, wanted, n) == 0)
			buf_append(ret, line + n, strcspn(line + n, "\n") + 1);
}

/* How many lines of `should` are not in `is`, which is the rest of them in the same order. */
static unsigned count_missing(const char *should, const char *is)
{
	unsigned missing = 0;

	for (; *should; should += strcspn(should, "\n") + 1) {
		size_t n = strcspn(should, "\n") + 1;

		if (strncmp(should, is, n) == 0)
			is += n;
		else
			missing++;
	}
	assert_int_equal(*is, '\0'); /* nothing that was not sent */
	return missing;
}

/* Heart rate and ECG, each strap: the same bytes in the same order, but for what is counted. */
static unsigned compare(struct bench *b, const char *heard)
{
	static const char *const uuids[] = {"2a37", LINE_ECG};
	_cleanup_(freep) char *truth = read_file(b->truth);
	unsigned missing = 0;

	for (unsigned i = 1; i <= 3; i++) {
		for (unsigned u = 0; u < 2; u++) {
			struct buf should = {0}, is = {0};
			char device[DEVICE_ADDRESS_SIZE];

			(void)snprintf(device, sizeof(device), "c0:de:00:00:00:%02x", i & 15);
			expect(truth, device, uuids[u], &should);
			received(heard, device, uuids[u], &is);
			buf_append(&should, "", 1);
			buf_append(&is, "", 1);
			missing += count_missing((char *)should.data, (char *)is.data);
			buf_done(&should);
			buf_done(&is);
		}
	}
	return missing;
}

static void compare_heard(struct bench *b)
{
	buf_append(&b->heard, "", 1);
	assert_int_equal(compare(b, (char *)b->heard.data), 0);
	b->heard.size--;
}

static void every_byte_arrives_as_the_truth_says(void **state)
{
	struct bench *b = *state;
	_cleanup_(freep) char *truth = NULL;

	listen_to(b);
	start_simulator(b,
			"--speed 300 --duration 120 --drop 0.05 --duplicate 0.05 --malformed 0.05 "
			"--link-loss-every 30 --away 7 --disconnect-every 41 --drift-ppm 40,-40");
	RUN_UNTIL(b, b->there);
	RUN_UNTIL(b, !b->there);
	stop_simulator(b);
	compare_heard(b);
	truth = read_file(b->truth);
	assert_int_equal(count(truth, "{\"unread\""), 0);
	assert_int_equal(count(truth, "\"event\":\"link\""), b->n_connected);
	assert_true(b->n_connected >= 9);
	assert_int_equal(b->n_disconnected, b->n_connected);
	assert_true(count(truth, "no_link") > 10);
	assert_true(count(truth, "\"duplicate\"") > 10);
	assert_true(count(truth, "\"malformed\"") > 10);
	assert_true(count(truth, "\"handed\":\"lost_in_air\"") > 10);
	assert_int_equal(count(truth, "\"event\":\"end\""), 1);
	assert_true(strstr((char *)b->heard.data, FIRST " 2a29 766974616c64") != NULL);
	assert_in_range(b->n_problems, 1, 2); /* after it was there, and perhaps before */
}

static void the_same_seed_makes_the_same_day(void **state)
{
	struct bench *b = *state;
	_cleanup_(freep) char *first = NULL, *second = NULL;
	struct buf one = {0}, two = {0};

	for (unsigned i = 0; i < 2; i++) {
		char **text = i ? &second : &first;

		start_simulator(b, "--speed 10000 --duration 100 --straps 1 --seed 77");
		stop_simulator(b);
		*text = read_file(b->truth);
	}
	for (const char *p = first; (p = strstr(p, "\"rr_1024\"")); p++)
		buf_append(&one, p, strcspn(p, "}"));
	for (const char *p = second; (p = strstr(p, "\"rr_1024\"")); p++)
		buf_append(&two, p, strcspn(p, "}"));
	assert_true(one.size > 500);
	assert_int_equal(one.size, two.size);
	assert_memory_equal(one.data, two.data, one.size);
	assert_int_equal(count(first, "\"handed\":\"no_listener\""), count(first, "{\"n\":"));
	buf_done(&one);
	buf_done(&two);
}

static void a_full_socket_drops(void **state)
{
	struct bench *b = *state;
	_cleanup_(freep) char *truth = NULL;

	start_simulator(b, "--speed 1000 --straps 1 --ecg 1");
	listen_to(b);
	RUN_UNTIL(b, b->n_frames > 20);
	wait_truth(b, "\"char\":\"" LINE_ECG "\",\"hex\":\"", 400); /* nobody reads meanwhile */
	wait_truth(b, "\"handed\":\"full\"", 3);
	assert_int_equal(kill(b->simulator, SIGTERM), 0);
	RUN_UNTIL(b, !b->there);
	stop_simulator(b);
	compare_heard(b);
	truth = read_file(b->truth);
	assert_true(count(truth, "\"handed\":\"yes\"") > 167);
	assert_int_equal(count(truth, "{\"unread\""), 0);
}

/* What was read late came when it came, not when it was read. */
static void a_late_reader_knows_when_it_came(void **state)
{
	struct bench *b = *state;
	unsigned n;

	start_simulator(b, "--speed 20 --straps 1 --ecg 0");
	listen_to(b);
	RUN_UNTIL(b, b->n_frames > 10);
	n = b->n_frames;
	b->latest = 0;
	wait_truth(b, "\"char\":\"2a37\"", n + 20); /* a second of it; nobody reads meanwhile */
	RUN_UNTIL(b, b->n_frames >= n + 15);
	assert_in_range(b->latest, 300 * USEC_PER_MSEC, 60 * USEC_PER_SEC);
}

/* A process that listens, and writes down what it heard until it is killed. */
static pid_t start_reader(struct bench *b, const char *path)
{
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	b->simulator = 0;
	b->heard_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	listen_to(b);
	for (;;)
		(void)sd_event_run(b->event, USEC_INFINITY);
}

static void what_a_killed_reader_left_is_unread(void **state)
{
	struct bench *b = *state;
	_cleanup_(freep) char *truth = NULL, *heard = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/heard", b->dir);
	start_simulator(b, "--speed 200");
	for (unsigned round = 1; round <= 3; round++) {
		pid_t reader = start_reader(b, path);

		wait_truth(b, "\"event\":\"daemon_connected\"", round);
		wait_truth(b, "\"handed\":\"yes\"", 60 * round);
		assert_int_equal(kill(reader, SIGSTOP), 0);
		truth = read_file(b->truth);
		wait_truth(b, "\"handed\":\"yes\"", count(truth, "\"handed\":\"yes\"") + 40);
		free(TAKE(truth));
		assert_int_equal(kill(reader, SIGKILL), 0);
		assert_int_equal(waitpid(reader, NULL, 0), reader);
		wait_truth(b, "\"event\":\"daemon_gone\"", round);
	}
	assert_int_equal(kill(b->simulator, SIGTERM), 0);
	stop_simulator(b);
	truth = read_file(b->truth);
	assert_true(count(truth, "{\"unread\"") > 60);
	assert_true(count(truth, "\"handed\":\"no_listener\"") > 0);
	heard = read_file(path);
	assert_non_null(strstr(heard, " 2a37 "));
	/* What a reader had in its hand is the one thing that nobody can tell: one a round. */
	assert_in_range(compare(b, heard), 0, 3);
	(void)unlink(path);
}

static void it_waits_for_a_simulator_and_comes_back(void **state)
{
	struct bench *b = *state;

	listen_to(b);
	RUN_UNTIL(b, b->n_problems == 1);
	assert_non_null(strstr(b->problem, b->socket));
	for (unsigned round = 1; round <= 2; round++) {
		start_simulator(b, "--speed 50");
		RUN_UNTIL(b, b->there && b->n_connected == 3 * round);
		RUN_UNTIL(b, b->n_frames > 100 * round);
		tell(b, "pause", "ok"); /* so that the truth is written when it dies */
		assert_int_equal(kill(b->simulator, SIGKILL), 0); /* leaves its sockets behind */
		assert_int_equal(waitpid(b->simulator, NULL, 0), b->simulator);
		b->simulator = 0;
		RUN_UNTIL(b, !b->there);
		assert_int_equal(b->n_disconnected, 3 * round);
		assert_int_equal(b->why, GAP_LINK_LOSS);
		compare_heard(b);
		buf_reset(&b->heard);
	}
	assert_int_equal(b->n_states, 5); /* once each change, however often it tried */
}

/*
 * The daemon has a user of its own and a closed directory; the simulator is often started by root.
 */
static void a_socket_of_roots_is_the_directorys_owners(void **state)
{
	struct bench *b = *state;
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(b->dir, 65534, 65534), 0);
	listen_to(b);
	start_simulator(b, "");
	RUN_UNTIL(b, b->there);
	assert_int_equal(stat(b->socket, &st), 0);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(stat(b->control, &st), 0);
	assert_int_equal(st.st_gid, 65534);
	assert_int_equal(kill(b->simulator, SIGTERM), 0);
	stop_simulator(b);
}

static void commands_do_what_they_say(void **state)
{
	struct bench *b = *state;
	_cleanup_(freep) char *truth = NULL;

	listen_to(b);
	start_simulator(b, "--speed 100");
	RUN_UNTIL(b, b->n_frames > 60);
	tell(b, "pause", "ok");
	tell(b, "gap 0 2", "ok");
	tell(b, "gap 2 1 2a37", "ok");
	tell(b, "duplicate 1", "ok");
	tell(b, "malformed 1 2a37", "ok");
	tell(b, "malformed 0 2a37 -", "ok");
	tell(b, "malformed " FIRST " 2a37 1600FF", "ok");
	tell(b, "malformed 0 2a37 -", "ok");
	tell(b, "clock_reset 0", "ok");
	tell(b, "clock_jump 1 -3600", "ok");
	tell(b, "clock_jump 1 x", "error: S is not");
	tell(b, "drift 1 -300", "ok");
	tell(b, "disconnect 0 3", "ok"); /* the empty packet is the last before the end */
	tell(b, "link_loss 5", "error: no such strap");
	tell(b, "link_loss 1 x", "error: S is not");
	tell(b, "gap 0 1.5", "error: N is not");
	tell(b, "gap 2 1 " LINE_ECG, "error: this strap");
	tell(b, "malformed 0 2a37 1", "error: HEX");
	tell(b, "mute 0", "error: wrong number");
	tell(b, "mute 0 1 2 3 4 5 6", "error: wrong number");
	tell(b, "dance", "error: unknown command");
	tell(b, "gap", "error: no such strap");
	RUN_UNTIL(b, b->n_disconnected == 1);
	assert_int_equal(b->why, GAP_DISCONNECTED);
	assert_non_null(strstr((char *)b->heard.data, FIRST " 2a37 \n" FIRST " 2a37 1600ff\n"));
	tell(b, "resume", "ok");
	RUN_UNTIL(b, b->n_connected == 4);
	tell(b, "mute 2 3", "ok");
	wait_truth(b, "\"handed\":\"lost_in_air\"", 6);
	assert_int_equal(kill(b->simulator, SIGTERM), 0);
	RUN_UNTIL(b, !b->there);
	stop_simulator(b);
	compare_heard(b);
	truth = read_file(b->truth);
	assert_int_equal(count(truth, "\"what\":\"duplicate\""), 1);
	assert_int_equal(count(truth, "\"what\":\"malformed\""), 4);
	assert_int_equal(count(truth, "\"event\":\"clock_reset\""), 1);
	assert_int_equal(count(truth, "\"event\":\"clock_jump\""), 1);
	assert_non_null(strstr(truth, "\"ts_ns\":5996160"));
}

/* Strap seconds between measuring and hand-over: how late the radio was. */
static void a_late_radio(void **state)
{
	struct bench *b = *state;
	_cleanup_(freep) char *truth = NULL;
	double latest = 0, earliest = 1e9;
	unsigned n = 0;

	listen_to(b);
	start_simulator(b, "--speed 100 --jitter 0.3 --stall-every 10 --stall 2");
	RUN_UNTIL(b, b->n_frames > 150);
	assert_int_equal(kill(b->simulator, SIGTERM), 0);
	RUN_UNTIL(b, !b->there);
	stop_simulator(b);
	compare_heard(b);
	truth = read_file(b->truth);
	for (const char *at = truth; (at = strstr(at, "\"t_wall_us\":")); at++, n++) {
		const char *taken = strstr(at, "\"taken_us\":"), *end = strchr(at, '\n');
		double late;

		if (!taken || taken > end)
			continue; /* an event */
		late = 100e-6 *
		       (double)(strtoll(at + 12, NULL, 10) - strtoll(taken + 11, NULL, 10));
		latest = MAX(latest, late);
		earliest = MIN(earliest, late);
	}
	assert_true(n > 100);
	assert_true(earliest > -0.1 && earliest < 0.3); /* 1 ms of jitter between two clocks here */
	assert_true(latest > 1);
}

static void freeing_the_source_tells_nobody(void **state)
{
	struct bench *b = *state;

	listen_to(b);
	start_simulator(b, "--speed 50");
	RUN_UNTIL(b, b->n_frames > 50);
	b->source = source_free(b->source);
	assert_int_equal(b->n_disconnected, 0);
	assert_true(b->there);
	wait_truth(b, "\"event\":\"daemon_gone\"", 1);
}

/* A false simulator: the test itself, at the other end of the source. */
static int false_listener(struct bench *b)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", b->socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void say(int fd, const char *text, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	assert_true(sendmsg(fd, &m, MSG_NOSIGNAL) >= 0);
}

#define STRAP_1 "strap " FIRST " Simulated strap"
#define LINK_1	"link " FIRST " 2a37 232"

static void nonsense_ends_the_connection(void **state)
{
	static const struct {
		const char *messages[5];
		unsigned n_fds; /* with the last one */
		bool pipe;	/* which are no sockets */
	} cases[] = {
		{{"\x01\x02\xff"}, 0, false},
		{{STRAP_1}, 0, false}, /* no hello */
		{{"hello 2"}, 0, false},
		{{"hello 1", "hello 1"}, 0, false},
		{{"hello 1"}, 1, false},
		{{"hello 1", STRAP_1, STRAP_1}, 0, false},
		{{"hello 1", "value " FIRST " 2a19 60"}, 0, false},
		{{"hello 1", "gone " FIRST " link_loss"}, 0, false},
		{{"hello 1", STRAP_1, LINK_1}, 0, false},
		{{"hello 1", STRAP_1, LINK_1}, 2, false},
		{{"hello 1", STRAP_1, LINK_1}, 4, false},
		{{"hello 1", STRAP_1, LINK_1}, 1, true},
		{{"hello 1", STRAP_1, "gone " FIRST " power_cut"}, 0, false},
	};
	struct bench *b = *state;
	int listener = false_listener(b);

	listen_to(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned problems = b->n_problems, last = 0;
		int pair[4], fd;

		assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0); /* connects */
		fd = accept(listener, NULL, NULL);
		assert_true(fd >= 0);
		assert_int_equal(cases[i].pipe ? pipe(pair)
					       : socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair),
				 0);
		pair[2] = pair[0];
		pair[3] = pair[1];
		while (last + 1 < 5 && cases[i].messages[last + 1])
			last++;
		say(fd, "hello 1", NULL, 0);
		(void)close(fd); /* so that each case starts from being there */
		RUN_UNTIL(b, b->n_problems == problems + 1);
		problems++;
		assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0);
		fd = accept(listener, NULL, NULL);
		for (unsigned m = 0; m <= last; m++)
			say(fd, cases[i].messages[m], pair, m == last ? cases[i].n_fds : 0);
		/* Hung up on, whether or not it had been told that somebody is there. */
		char byte;

		while (sd_event_run(b->event, 0) > 0 || recv(fd, &byte, 1, MSG_DONTWAIT) != 0)
			;
		assert_false(b->there);
		assert_int_equal(b->n_connected, b->n_disconnected);
		(void)close(fd);
		(void)close(pair[0]);
		(void)close(pair[1]);
	}
	(void)close(listener);
}

static void a_link_may_end_without_a_word_and_packets_be_long(void **state)
{
	struct bench *b = *state;
	int listener = false_listener(b), pair[2], fd;
	char packet[2000];

	listen_to(b);
	assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0);
	fd = accept(listener, NULL, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	say(fd, "hello 1", NULL, 0);
	say(fd, STRAP_1, NULL, 0);
	say(fd, LINK_1, &pair[1], 1);
	(void)close(pair[1]);
	memset(packet, 'x', sizeof(packet));
	assert_int_equal(send(pair[0], packet, sizeof(packet), 0), sizeof(packet));
	for (unsigned i = 0; i < 150; i++) /* more than one slice */
		assert_int_equal(send(pair[0], packet, i % 3, 0), i % 3);
	assert_int_equal(send(pair[0], packet, 0, 0), 0);
	(void)close(pair[0]);
	RUN_UNTIL(b, b->n_disconnected == 1);
	assert_int_equal(b->n_frames, 152);
	assert_int_equal(strcspn((char *)b->heard.data, "\n"), 23 + 2 * 1024);
	assert_int_equal(b->why, GAP_LINK_LOSS);
	assert_true(b->there);
	(void)close(fd);
	(void)close(listener);
}

static void bad_usage_is_told(void **state)
{
	struct bench *b = *state;
	char line[400], path[200];

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(finish(spawn("quiet simulate --socket x")), 2);
	assert_int_equal(finish(spawn("quiet simulate --truth x")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y --dance")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y z")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y --straps 17")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y --straps -1")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y --drop 1.1")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y --drift-ppm 1,b")), 2);
	assert_int_equal(finish(spawn("quiet simulate --socket x --truth y --seed 1e3")), 2);
	(void)snprintf(line, sizeof(line), "quiet simulate --socket %s --truth /dev/null", path);
	assert_int_equal(finish(spawn(line)), 2);
	(void)snprintf(line, sizeof(line), "quiet simulate --socket %s --tell pause", b->socket);
	assert_int_equal(finish(spawn(line)), 1); /* nobody there */
	assert_int_equal(source_simulate_new(b->event, path, RETRY, &(struct source_handler){0},
					     &b->source),
			 -ENAMETOOLONG);
}

static void a_second_simulator_leaves_the_first_alone(void **state)
{
	struct bench *b = *state;
	char line[400];
	struct stat st;

	start_simulator(b, "--speed 100");
	wait_truth(b, "{\"n\":", 1);
	(void)snprintf(line, sizeof(line), "quiet simulate --socket %s --truth %s", b->socket,
		       b->truth);
	assert_int_equal(finish(spawn(line)), 1);
	assert_int_equal(stat(b->truth, &st), 0);
	assert_true(st.st_size > 0);
	(void)snprintf(line, sizeof(line), "quiet simulate --socket %s --tell pause", b->socket);
	assert_int_equal(finish(spawn(line)), 0);
	wait_truth(b, "\"event\":\"pause\"", 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_byte_arrives_as_the_truth_says),
		TEST(the_same_seed_makes_the_same_day),
		TEST(a_full_socket_drops),
		TEST(a_late_reader_knows_when_it_came),
		TEST(what_a_killed_reader_left_is_unread),
		TEST(it_waits_for_a_simulator_and_comes_back),
		TEST(a_socket_of_roots_is_the_directorys_owners),
		TEST(commands_do_what_they_say),
		TEST(a_late_radio),
		TEST(freeing_the_source_tells_nobody),
		TEST(nonsense_ends_the_connection),
		TEST(a_link_may_end_without_a_word_and_packets_be_long),
		TEST(a_second_simulator_leaves_the_first_alone),
		TEST(bad_usage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

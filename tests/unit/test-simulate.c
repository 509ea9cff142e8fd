/*
 * Holds the simulator (a real process) and the daemon's source (on a real loop) to each other:
 * every byte arrives exactly as the truth file says, and what was dropped or unread is what it
 * says too. Waits on sockets, processes and inotify only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulate_bench.h"
#include "source/strap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_ECG "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

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
		TEST(a_second_simulator_leaves_the_first_alone),
		TEST(bad_usage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * control/bus: a client and the server on one loop, over the private socket: tables, sync, an audit
 * that is answered later, several at once, signals, a full house, a stranger, and bytes that are
 * not D-Bus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/bus.h"
#include "dirs.h"
#include "store/outbox.h"
#include "store/register.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

enum { N_RECORDS = 5000, PEERS_MAX = 16 };

struct place {
	char dir[DIR_SIZE], state[SUBDIR_SIZE], run[SUBDIR_SIZE];
	sd_event *event;
	struct store *store;
	struct control *control;
	unsigned synced, critical, reconciled, n_captures;
};

/* What a call waits for. */
struct answer_box {
	bool done, failed;
	struct tables tables;
	char error[128];
};

static const struct clock_state clock_synced = {.synchronised = true, .offset_us = 1};

static int give_tables(void *userdata, const char *which, struct tables *ret)
{
	struct place *p = userdata;
	const struct snapshot s = {.store = p->store, .running = true};

	return snapshot_tables(&s, which, ret);
}

static struct store *give_store(void *userdata)
{
	return ((struct place *)userdata)->store;
}

static int do_sync(void *userdata, bool critical)
{
	struct place *p = userdata;

	p->synced++;
	p->critical += critical;
	return 0;
}

/* Says into the socket what it was asked for, and no more than once. */
static int do_reconcile(void *userdata, bool everything)
{
	struct place *p = userdata;

	p->reconciled += everything ? 100 : 1;
	return 0;
}

static int do_capture(void *userdata, int fd, const char *device)
{
	struct place *p = userdata;

	if (p->n_captures++ > 0)
		return p->n_captures == 2 ? CONTROL_E_BUSY : CONTROL_E_SOCKET;
	assert_int_equal(write(fd, *device ? device : "all", *device ? strlen(device) : 3),
			 *device ? strlen(device) : 3);
	(void)close(fd);
	return 0;
}

static const char *give_state(void *userdata)
{
	return "degraded";
}

static void fill_store(struct place *p)
{
	struct store_opening opening;
	struct store_options o = {.state_dir = p->state,
				  .runtime_dir = p->run,
				  .role = "test",
				  .tail_size = 1024 * 1024,
				  .durability_window = USEC_PER_SEC,
				  .lazy_commit = 300 * USEC_PER_SEC};
	uint32_t sink, stream;

	assert_int_equal(store_open(&o, 1, &clock_synced, &opening, &p->store), 0);
	assert_int_equal(register_sink(p->store, "main", true, false, &sink), 0);
	assert_int_equal(register_stream(p->store, "a0:b1:c2:d3:e4:f5", KIND_HEART_RATE, "",
					 &stream),
			 0);
	for (int i = 1; i <= N_RECORDS; i++) {
		struct record r = {.stream = stream,
				   .type = RECORD_HEART_RATE,
				   .boot_us = i,
				   .heart_rate = {.bpm = 60, .energy_kj = -1}};

		assert_int_equal(store_admit(p->store, &r, (usec_t)i), 0);
	}
	assert_int_equal(store_commit(p->store, N_RECORDS), 0);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const struct control_handler handler = {.userdata = p,
						.tables = give_tables,
						.store = give_store,
						.sync = do_sync,
						.reconcile = do_reconcile,
						.capture = do_capture,
						.state = give_state};
	const struct control_options options = {.runtime_dir = p->run};

	dirs_make("/dev/shm", p->dir, p->state, p->run);
	fill_store(p);
	assert_true(sd_event_new(&p->event) >= 0);
	assert_int_equal(control_new(p->event, &options, &handler, &p->control), 0);
	assert_null(control_problem(p->control));
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	p->control = control_free(p->control);
	p->store = store_close(p->store);
	p->event = sd_event_unref(p->event);
	dirs_remove(p->dir);
	free(p);
	return 0;
}

static void turn(struct place *p)
{
	assert_true(sd_event_run(p->event, 5 * USEC_PER_SEC) >= 0);
}

static int connect_raw(struct place *p)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/control", p->run);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static sd_bus *connect_bus(struct place *p)
{
	int fd = connect_raw(p);
	sd_bus *bus = NULL;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	assert_true(sd_bus_attach_event(bus, p->event, 0) >= 0);
	return bus;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct answer_box *box = userdata;
	const sd_bus_error *e = sd_bus_message_get_error(m);

	box->done = true;
	box->failed = e != NULL;
	if (e)
		(void)snprintf(box->error, sizeof(box->error), "%s", e->name);
	else if (sd_bus_message_has_signature(m, TABLES_SIGNATURE))
		assert_int_equal(tables_read(m, &box->tables), 0);
	return 0;
}

static void query(sd_bus *bus, const char *which, struct answer_box *box)
{
	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					     "Query", on_answer, box, "s", which) >= 0);
}

static void wait_for(struct place *p, struct answer_box *box)
{
	while (!box->done)
		turn(p);
}

static void close_bus(sd_bus *bus)
{
	bus = sd_bus_close_unref(bus);
	assert_null(bus);
}

static void answers_tables(void **state)
{
	static const char *const which[] = {"status", "queue",	 "anchors", "quarantine",
					    "events", "devices", "sinks"};
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);

	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		struct answer_box box = {0};

		query(bus, which[i], &box);
		wait_for(p, &box);
		assert_false(box.failed);
		assert_true(box.tables.n > 0);
		tables_done(&box.tables);
	}
	close_bus(bus);
}

static void refuses_the_unknown(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);
	struct answer_box box = {0};

	query(bus, "weather", &box);
	wait_for(p, &box);
	assert_true(box.failed);
	assert_string_equal(box.error, SD_BUS_ERROR_INVALID_ARGS);
	close_bus(bus);
}

static void starts_a_sync(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);
	struct answer_box box = {0};

	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					     "Sync", on_answer, &box, "b", 1) >= 0);
	wait_for(p, &box);
	assert_int_equal(p->synced, 1);
	assert_int_equal(p->critical, 1);
	assert_int_equal(table_get_u64(tables_find(&box.tables, "sinks"), 0, "waiting", 0),
			 N_RECORDS);
	tables_done(&box.tables);
	close_bus(bus);
}

static void starts_a_comparison(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);
	struct answer_box box = {0};

	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					     "Reconcile", on_answer, &box, "b", 1) >= 0);
	wait_for(p, &box);
	assert_int_equal(p->reconciled, 100);
	assert_int_equal(table_rows(tables_find(&box.tables, "reconcile")), 1);
	tables_done(&box.tables);
	close_bus(bus);
}

static void ask_capture(struct place *p, sd_bus *bus, int fd, const char *device,
			struct answer_box *box)
{
	*box = (struct answer_box){0};
	while (sd_bus_is_ready(bus) == 0) /* else the call would wait for the server, which is us */
		turn(p);
	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					     "Capture", on_answer, box, "hs", fd, device) >= 0);
	wait_for(p, box);
}

/* The socket gets there, and nobody keeps a copy: its end is seen. */
static void hands_a_socket_on(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);
	struct answer_box box;
	char heard[32] = "";
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ask_capture(p, bus, ends[1], "nonsense", &box);
	assert_true(box.failed);
	assert_string_equal(box.error, SD_BUS_ERROR_INVALID_ARGS);
	assert_int_equal(p->n_captures, 0);
	ask_capture(p, bus, ends[1], "A0:B1:C2:D3:E4:F5", &box);
	assert_false(box.failed);
	assert_non_null(tables_find(&box.tables, "devices"));
	tables_done(&box.tables);
	ask_capture(p, bus, ends[1], "", &box);
	assert_string_equal(box.error, SD_BUS_ERROR_LIMITS_EXCEEDED);
	ask_capture(p, bus, ends[1], "", &box);
	assert_string_equal(box.error, SD_BUS_ERROR_INVALID_ARGS);
	close_bus(bus); /* it holds messages with copies */
	assert_int_equal(close(ends[1]), 0);
	assert_true(recv(ends[0], heard, sizeof(heard) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(heard, "a0:b1:c2:d3:e4:f5");
	assert_int_equal(recv(ends[0], heard, sizeof(heard), MSG_DONTWAIT), 0);
	(void)close(ends[0]);
}

/* The others are answered while it runs; nine at once are one too many; one goes away. */
static void audits_meanwhile(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p), *gone = connect_bus(p);
	struct answer_box audit[9] = {0}, ignored = {0}, other = {0};

	query(gone, "audit", &ignored);
	while (sd_bus_is_ready(gone) <= 0)
		turn(p);
	assert_true(sd_bus_flush(gone) >= 0);
	turn(p);
	close_bus(gone);
	for (size_t i = 0; i < ARRAY_SIZE(audit); i++)
		query(bus, "audit", &audit[i]);
	query(bus, "sinks", &other);
	wait_for(p, &other);
	for (size_t i = 0; i < ARRAY_SIZE(audit); i++)
		wait_for(p, &audit[i]);
	for (size_t i = 0; i < 7; i++) {
		assert_false(audit[i].failed);
		assert_int_equal(table_get_u64(tables_find(&audit[i].tables, "audit"), 0,
					       "balanced", 0),
				 1);
		assert_int_equal(table_get_u64(tables_find(&audit[i].tables, "lines"), 0,
					       "admitted", 0),
				 N_RECORDS);
	}
	assert_true(audit[8].failed);
	assert_string_equal(audit[8].error, SD_BUS_ERROR_LIMITS_EXCEEDED);
	for (size_t i = 0; i < ARRAY_SIZE(audit); i++)
		tables_done(&audit[i].tables);
	tables_done(&other.tables);
	close_bus(bus);
}

static int on_event(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *type, *kind, *sink, *reason;
	uint32_t count, retries, duration, latency;
	uint64_t number;
	int64_t wall;
	int success;

	assert_true(sd_bus_message_read(m, CONTROL_EVENT_SIGNATURE, &wall, &type, &kind, &success,
					&count, &retries, &duration, &sink, &reason, &number,
					&latency) >= 0);
	assert_int_equal(number, 71);
	assert_int_equal(latency, 12);
	assert_string_equal(type, "immediate_failed");
	assert_string_equal(kind, "ecg");
	assert_string_equal(reason, "na\xef\xbf\xbd");
	*(bool *)userdata = true;
	return 0;
}

static void tells_who_subscribed(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);
	struct answer_box box = {0};
	bool heard = false;
	struct sync_event e = {.type = SYNC_IMMEDIATE_FAILED,
			       .kind = KIND_ECG,
			       .number = 71,
			       .latency_ms = 12,
			       .sink = "main",
			       .reason = "na\xc3"}; /* cut in the middle of a letter */

	assert_true(sd_bus_match_signal(bus, NULL, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					"SyncEvent", on_event, &heard) >= 0);
	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					     "Subscribe", on_answer, &box, NULL) >= 0);
	wait_for(p, &box);
	control_event(p->control, &e);
	while (!heard)
		turn(p);
	close_bus(bus);
}

static int on_property(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *value;

	assert_true(sd_bus_message_read(m, "v", "s", &value) >= 0);
	assert_string_equal(value, "degraded");
	((struct answer_box *)userdata)->done = true;
	return 0;
}

static int on_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	static const char *const words[] = {"name=\"Query\"", "name=\"which\"", "name=\"critical\"",
					    "name=\"duration_ms\"", "a(sasaav)"};
	const char *xml;

	assert_true(sd_bus_message_read(m, "s", &xml) >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_non_null(strstr(xml, words[i]));
	((struct answer_box *)userdata)->done = true;
	return 0;
}

static void can_be_explored(void **state)
{
	struct place *p = *state;
	sd_bus *bus = connect_bus(p);
	struct answer_box property = {0}, xml = {0};

	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT,
					     "org.freedesktop.DBus.Properties", "Get", on_property,
					     &property, "ss", CONTROL_INTERFACE, "State") >= 0);
	wait_for(p, &property);
	assert_true(sd_bus_call_method_async(bus, NULL, NULL, CONTROL_OBJECT,
					     "org.freedesktop.DBus.Introspectable", "Introspect",
					     on_xml, &xml, NULL) >= 0);
	wait_for(p, &xml);
	close_bus(bus);
}

/* True once the other side has closed. */
static bool hung_up(int fd)
{
	char byte[256];
	ssize_t n;

	while ((n = read(fd, byte, sizeof(byte))) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

static void hostile_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} attacks[] = {
		{"GET / HTTP/1.1\r\n\r\n", 18},
		{"\0AUTH NONSENSE\r\n\r\n\r\n", 20},
		{"\0AUTH "
		 "EXTERNAL\r\nDATA\r\nBEGIN\r\nl\1\0\1\xff\xff\xff\xff\1\0\0\0\xff\xff\xff\xff",
		 45},
		{"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nQQQQQQQQQQQQQQQQQQQQQQQQ", 53},
	};
	struct place *p = *state;
	struct answer_box box = {0};
	sd_bus *bus;

	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		int fd = connect_raw(p);

		assert_int_equal(write(fd, attacks[i].bytes, attacks[i].size), attacks[i].size);
		if (i == 1) /* a refused mechanism may be followed by another */
			assert_int_equal(shutdown(fd, SHUT_WR), 0);
		while (!hung_up(fd)) {
			turn(p);
			(void)send(fd, "x", 1, MSG_NOSIGNAL); /* more of it; it may be gone */
		}
		assert_int_equal(close(fd), 0);
	}
	bus = connect_bus(p);
	query(bus, "sinks", &box);
	wait_for(p, &box);
	assert_false(box.failed);
	tables_done(&box.tables);
	close_bus(bus);
}

/* Connections that others left open do not lock anybody out: the oldest gives way. */
static void full_house(void **state)
{
	struct place *p = *state;
	struct answer_box box = {0};
	int fd[PEERS_MAX];
	sd_bus *bus;

	for (size_t i = 0; i < PEERS_MAX; i++) {
		fd[i] = connect_raw(p);
		turn(p);
	}
	bus = connect_bus(p);
	query(bus, "sinks", &box);
	wait_for(p, &box);
	assert_false(box.failed);
	assert_true(hung_up(fd[0]));
	for (size_t i = 0; i < PEERS_MAX; i++)
		assert_int_equal(close(fd[i]), 0);
	tables_done(&box.tables);
	close_bus(bus);
}

/* A connection that a stranger made: as root can be, in a child that becomes nobody. */
static void refuses_strangers(void **state)
{
	struct place *p = *state;
	char path[128];
	int ready[2], status;
	pid_t pid;
	char c;

	if (geteuid() != 0)
		skip();
	(void)snprintf(path, sizeof(path), "%s/control", p->run);
	assert_int_equal(chmod(p->dir, 0755), 0);
	assert_int_equal(chmod(p->run, 0755), 0);
	assert_int_equal(chmod(path, 0666), 0); /* even if the door stood open */
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		fd = connect_raw(p);
		(void)fcntl(fd, F_SETFL, 0);
		if (write(ready[1], "x", 1) != 1)
			_exit(3);
		_exit(hung_up(fd) ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	turn(p);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(close(ready[0]) + close(ready[1]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_the_unknown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(starts_a_comparison, set_up, tear_down),
		cmocka_unit_test_setup_teardown(starts_a_sync, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hands_a_socket_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(audits_meanwhile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_who_subscribed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(can_be_explored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(full_house, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_strangers, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

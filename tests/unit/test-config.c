/*
 * model/config: every mistake is provoked and has its file and line; drop-ins; and
 * config/vitald.conf, whose comments must be the defaults of the program, key by key. Runs in the
 * top folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/config_key.h"
#include "util/file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static struct config *parse(const char *text)
{
	struct buf problems = {0};
	struct config *c = NULL;
	int r = config_parse("f", text, strlen(text), &problems, &c);

	if (r != 0)
		fail_msg("%.*s", (int)problems.size, (char *)problems.data);
	assert_int_equal(problems.size, 0);
	buf_done(&problems);
	return c;
}

static void expect_problems(const char *text, const char *expected)
{
	struct buf problems = {0};
	struct config *c = NULL;

	assert_int_equal(config_parse("f", text, strlen(text), &problems, &c), CONFIG_E_BAD);
	assert_null(c);
	buf_u8(&problems, 0);
	assert_string_equal((char *)problems.data, expected);
	buf_done(&problems);
}

static void has_defaults(void **state)
{
	_cleanup_(config_freep) struct config *c = parse("");
	char host[65] = "";

	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	assert_string_equal(c->gateway, host);
	assert_string_equal(c->state_dir, "/var/lib/vitald");
	assert_string_equal(c->runtime_dir, "/run/vitald");
	assert_string_equal(c->socket, "/run/vitald/straps");
	assert_int_equal(c->source, CONFIG_SOURCE_BLUEZ);
	assert_null(c->adapter);
	assert_int_equal(c->max_links, 5);
	assert_false(c->auto_enroll);
	assert_int_equal(c->durability_window, 1000000);
	assert_int_equal(c->lazy_commit, 3600000000);
	assert_int_equal(c->linger, 250000);
	assert_int_equal(c->n_immediate_retry_delays, 3);
	assert_int_equal(c->immediate_retry_delays[2], 3000000);
	assert_int_equal(c->immediate_timeout, 10000000);
	assert_int_equal(c->max_size, 2147483648);
	assert_int_equal(c->retention, 604800000000);
	assert_int_equal(c->free_reserve, 268435456);
	assert_int_equal(c->reconcile_interval, 21600000000);
	assert_int_equal(c->reconcile_window, 86400000000);
	assert_int_equal(c->reconcile_all_after, 172800000000);
	assert_true(c->immediate && c->queue && c->reconcile && c->timers);
	assert_true(c->system_bus);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_int_equal(c->n_sinks, 0);
	assert_int_equal(c->n_devices, 0);
}

static void reads_everything(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(
		"[daemon]\nstate_dir = /a/b/\nruntime_dir=/r\ngateway=gw-0001\n"
		"[source]\ntype=simulate\n[bluetooth]\nadapter=A0:B1:C2:D3:E4:FF\n"
		"max_links=7\n"
		"[sync]\ndurability_window=0\nlazy_commit=1min\nlinger=10ms\n"
		"immediate_retry_delays=0, 500ms 2\nmax_batches=5\nmax_size=1G\ntail_size=1M\n"
		"free_reserve=0\nreconcile_interval=1h\nreconcile_window=2d\nreconcile_all_after="
		"3d\n"
		"[features]\nimmediate=no\nqueue=no\nreconcile=no\ntimers=no\n"
		"[time]\ntrust_clock=yes\n[control]\nbus=none\n[log]\nlevel=debug\n"
		"sync_events=on\n"
		"[sink \"a\"]\ntype=http\nurl=https://Example.org/x//\ntoken_file=/t\nca_file=/c\n"
		"client_cert=/d\nclient_key=/e\nproxy=http://p:1\ninterface=wlan0\nrequired=no\n"
		"from=now\nmax_body=64K\n"
		"[sink \"b\"]\nurl=http://127.0.0.1:8080\n"
		"[device \"A0:B1:C2:D3:E4:F5\"]\nname=Strap #2; the red one\nsubject=u-1\n"
		"streams=ecg\npair=yes\naddress_type=random\nbackfill=yes\n[device "
		"\"a0:b1:c2:d3:e4:f6\"]\n");
	const struct config_device *d = config_device_find(c, "a0:b1:c2:d3:e4:f5");

	assert_string_equal(c->state_dir, "/a/b");
	assert_string_equal(c->socket, "/r/straps");
	assert_string_equal(c->gateway, "gw-0001");
	assert_int_equal(c->source, CONFIG_SOURCE_SIMULATE);
	assert_true(c->auto_enroll);
	assert_int_equal(c->durability_window, 0);
	assert_int_equal(c->immediate_retry_delays[1], 500000);
	assert_int_equal(c->immediate_retry_delays[2], 2000000);
	assert_int_equal(c->max_batches, 5);
	assert_int_equal(c->tail_size, 1048576);
	assert_int_equal(c->free_reserve, 0);
	assert_int_equal(c->reconcile_interval, 3600000000);
	assert_int_equal(c->reconcile_window, 172800000000);
	assert_int_equal(c->reconcile_all_after, 259200000000);
	assert_false(c->immediate || c->queue || c->reconcile || c->timers);
	assert_true(d->backfill);
	assert_int_equal(c->trust_clock, CLOCK_TRUST_YES);
	assert_false(c->system_bus);
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_true(c->sync_events);
	assert_int_equal(c->n_sinks, 2);
	assert_string_equal(c->sinks[0].url, "https://Example.org/x");
	assert_string_equal(c->sinks[0].token_file, "/t");
	assert_string_equal(c->sinks[0].interface, "wlan0");
	assert_false(c->sinks[0].required);
	assert_int_equal(c->sinks[0].from, CONFIG_FROM_NOW);
	assert_int_equal(c->sinks[0].max_body, 65536);
	assert_true(c->sinks[1].required);
	assert_int_equal(c->sinks[1].max_body, 262144);
	assert_null(c->sinks[1].token_file);
	assert_non_null(d);
	assert_string_equal(d->name, "Strap #2; the red one");
	assert_string_equal(d->subject, "u-1");
	assert_string_equal(c->adapter, "a0:b1:c2:d3:e4:ff");
	assert_int_equal(c->max_links, 7);
	assert_int_equal(d->pair, CONFIG_PAIR_YES);
	assert_int_equal(d->address_type, CONFIG_ADDRESS_RANDOM);
	assert_int_equal(d->kinds, 1U << KIND_ECG | 1U << KIND_ECG_COUNTS);
	assert_string_equal(config_device_find(c, "a0:b1:c2:d3:e4:f6")->subject, "");
	assert_null(config_device_find(c, "a0:b1:c2:d3:e4:f7"));
}

static void reads_replay(void **state)
{
	_cleanup_(config_freep) struct config *c =
		parse("[source]\ntype=replay\nfile=/c\npace=fast\n"
		      "handles = 0x0010=2a37, 19=fb005c82-02e7-f387-1cad-8acd2d8df0c8\n");
	_cleanup_(config_freep) struct config *none = parse("[source]\nhandles=\n");
	struct buf many = {0};

	assert_int_equal(c->source, CONFIG_SOURCE_REPLAY);
	assert_string_equal(c->file, "/c");
	assert_true(c->replay_fast);
	assert_true(c->auto_enroll);
	assert_int_equal(c->handles.n, 2);
	assert_int_equal(c->handles.list[0].handle, 0x10);
	assert_int_equal(c->handles.list[0].characteristic, CHARACTERISTIC_HEART_RATE_MEASUREMENT);
	assert_int_equal(c->handles.list[1].handle, 19);
	assert_int_equal(c->handles.list[1].characteristic, CHARACTERISTIC_PMD_DATA);
	assert_int_equal(none->handles.n, 0);
	expect_problems("[source]\ntype=replay\n",
			"f:2: replay needs a capture; write file = /path in [source] as well\n");
	buf_string(&many, "[source]\nhandles=");
	for (unsigned i = 0; i <= CONFIG_MAX_HANDLES; i++)
		buf_string(&many, "1=2a37 ");
	buf_u8(&many, 0);
	expect_problems((char *)many.data, "f:2: handles may have at most 64 of them\n");
	buf_done(&many);
}

/* One mistake each: the section and the line, and what has to be said of it. */
static void names_each_mistake(void **state)
{
	static const struct {
		const char *text, *problem;
	} cases[] = {
		{"[source]\nhandles=0x0010=2a37 17",
		 "handles is a list of handles and UUIDs that vitald knows; write for example "
		 "0x0010=2a37, with blanks between"},
		{"[source]\nhandles=0x0010=2aff",
		 "handles is a list of handles and UUIDs that vitald knows; write for example "
		 "0x0010=2a37, with blanks between"},
		{"[source]\nhandles=0x10000=2a37",
		 "handles is a list of handles and UUIDs that vitald knows; write for example "
		 "0x0010=2a37, with blanks between"},
		{"[source]\npace=quick", "pace knows only real, fast"},
		{"[sync]\nlingr=1", "there is no key lingr in [sync]; did you mean linger?"},
		{"[sync]\nsomething_else=1",
		 "there is no key something_else in [sync]; see vitald.conf(5)"},
		{"[sync]\nlinger=1 sec",
		 "linger is not a duration; write for example 250ms, 10s, 2min or 7d"},
		{"[sync]\nlinger=1s # slow",
		 "linger is not a duration; write for example 250ms, 10s, 2min "
		 "or 7d (a comment needs a line of its own)"},
		{"[sync]\ndurability_window=2min", "durability_window has to be from 0 to 1min"},
		{"[sync]\nimmediate_retry_delays=0 3 1",
		 "immediate_retry_delays has to rise; write for "
		 "example 0 1 3"},
		{"[sync]\nimmediate_retry_delays=1 2 3 4 5 6 7 8 9",
		 "immediate_retry_delays may have at most 8 durations"},
		{"[sync]\nimmediate_retry_delays=0 x",
		 "immediate_retry_delays is not a duration; write for "
		 "example 250ms, 10s, 2min or 7d"},
		{"[sync]\nimmediate_retry_delays=,",
		 "immediate_retry_delays needs at least one duration; "
		 "write for example 0 1 3"},
		{"[sync]\nmax_size=2 gigabytes",
		 "max_size is not a number or size; write for example 10000, "
		 "256K, 4M or 2G"},
		{"[sync]\nmax_size=1", "max_size has to be from 256K to 1T"},
		{"[log]\nsync_events=maybe", "sync_events is a switch; write yes or no"},
		{"[log]\nlevel=loud", "level knows only error, warning, notice, info, debug"},
		{"[source]\ntype=bluetooth",
		 "type knows only none, simulate, replay, bluez, l2cap"},
		{"[bluetooth]\nadapter=usb0",
		 "adapter names no adapter; write for example hci0, or its address"},
		{"[bluetooth]\nmax_links=0", "max_links has to be from 1 to 32"},
		{"[device \"a0:b1:c2:d3:e4:f5\"]\npair=perhaps", "pair knows only auto, yes, no"},
		{"[device \"a0:b1:c2:d3:e4:f5\"]\naddress_type=odd",
		 "address_type knows only auto, public, random"},
		{"[daemon]\nstate_dir=var",
		 "state_dir has to be an absolute path, one that begins with '/'; "
		 "the content itself belongs into a file"},
		{"[daemon]\nstate_dir=",
		 "state_dir has no value; write one behind '=', or delete the line "
		 "for the default"},
		{"[daemon]\nstate_dir=\"/a\"", "state_dir has to be written without quotes"},
		{"[daemon]\ngateway=a b",
		 "gateway may have 1 to 64 of the characters A-Z a-z 0-9 . _ -"},
		{"[sync]\nbackoff_min=1h",
		 "backoff_max is shorter than backoff_min; write a longer backoff_max"},
		{"[sync]\nlazy_commit=0",
		 "lazy_commit is shorter than durability_window; write a longer "
		 "lazy_commit"},
		{"[device \"a0:b1:c2:d3:e4:f5\"]\nstreams=acc",
		 "streams knows only heart_rate, ecg, oximetry, temperature, blood_pressure, "
		 "acceleration, ppg and ppi, with blanks between"},
		{"[device \"a0:b1:c2:d3:e4:f5\"]\nstreams=,",
		 "streams needs at least one; write for example heart_rate ecg"},
		{"\n[device \"strap\"]\nname=x",
		 "a device is named by its address; write [device \"a0:b1:c2:d3:e4:f5\"]"},
		{"\n[device]",
		 "a device is named by its address; write [device \"a0:b1:c2:d3:e4:f5\"]"},
		{"\n[sink]",
		 "a sink needs a name; write [sink \"name\"] with 1 to 32 of the characters a-z "
		 "0-9 _ -"},
		{"\n[sink \"Main\"]",
		 "a sink needs a name; write [sink \"name\"] with 1 to 32 of the "
		 "characters a-z 0-9 _ -"},
		{"\n[sink \"a\"]", "sink a has no url; write url = https://..."},
		{"\n[daemons]\nx=1",
		 "there is no section [daemons]; there are daemon, source, bluetooth, sync, time, "
		 "control, log, sink and device"},
		{"\n[sync \"a\"]", "this section has no name; write [sync]"},
		{"\nx=1", "x stands before the first heading; write its [section] above it"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[512];

		(void)snprintf(expected, sizeof(expected), "f:2: %s\n", cases[i].problem);
		expect_problems(cases[i].text, expected);
	}
}

static void checks_sinks(void **state)
{
	expect_problems("[sink \"a\"]\nurl=http://example.org\n",
			"f:2: url may use http:// only for this machine itself (127.0.0.1, [::1], "
			"localhost); write https://\n");
}

static void bounds_sinks_and_devices(void **state)
{
	struct buf text = {0};

	for (unsigned i = 0; i < CONFIG_MAX_SINKS + 1; i++)
		buf_printf(&text, "[sink \"s%u\"]\nurl=https://a\n", i);
	buf_u8(&text, 0);
	expect_problems((char *)text.data, "f:17: there may be at most 8 sinks\n");
	buf_reset(&text);
	for (unsigned i = 0; i < CONFIG_MAX_DEVICES + 1; i++)
		buf_printf(&text, "[device \"a0:b1:c2:d3:e4:%02x\"]\n", i);
	buf_u8(&text, 0);
	expect_problems((char *)text.data, "f:65: there may be at most 64 devices\n");
	buf_done(&text);
}

/* A value may be a token that landed in the wrong line: it must not reach a message. */
static void keeps_secrets(void **state)
{
	static const char *const texts[] = {
		"[sink \"a\"]\nurl=https://u:hunter2@example.org\n",
		"[sink \"a\"]\ntoken_file=hunter2\n",
		"[sink \"a\"]\nproxy=http://u:hunter2@p:1\n",
		"[sink \"a\"]\nHunter2 hunter2\n",
		"[sink \"a\"]\nfrom=hunter2\nmax_body=hunter2\nrequired=hunter2\ninterface=hunter2 "
		"2\n",
		"[daemon]\ngateway=hunter2 x\n",
		"[sink \"a\"]\nAhunter2==\n"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct buf problems = {0};
		struct config *c = NULL;

		assert_int_equal(config_parse("f", texts[i], strlen(texts[i]), &problems, &c),
				 CONFIG_E_BAD);
		buf_u8(&problems, 0);
		assert_null(strstr((char *)problems.data, "unter2"));
		buf_done(&problems);
	}
}

/* ---- files ---- */

static char top[] = "/tmp/vitald-test-config-XXXXXX";

static int make_folder(void **state)
{
	char dir[128];

	(void)snprintf(dir, sizeof(dir), "%s/c.d", mkdtemp(top));
	return mkdir(dir, 0700);
}

static int remove_folder(void **state)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -r %s", top);
	return system(command);
}

static char *path_of(const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", top, name) > 0);
	return path;
}

static void put(const char *name, const char *text)
{
	_cleanup_(freep) char *path = path_of(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void drop_ins_override(void **state)
{
	_cleanup_(freep) char *path = path_of("c");
	struct config *c = NULL;
	struct buf problems = {0};

	put("c", "[sync]\nlinger=1s\nmax_batches=1\n[sink \"a\"]\nurl=https://a\ntoken_file=/t\n");
	put("c.d/20.conf", "[sync]\nlinger=3s\n[sink \"a\"]\ntoken_file=\n");
	put("c.d/10.conf", "[sync]\nlinger=2s\n[sink \"a\"]\nurl=https://b\n");
	put("c.d/30.conf.bak", "nonsense\n");
	put("c.d/.40.conf", "nonsense\n");
	assert_int_equal(config_load(path, &problems, &c), 0);
	assert_int_equal(c->linger, 3000000);
	assert_int_equal(c->max_batches, 1);
	assert_int_equal(c->n_sinks, 1);
	assert_string_equal(c->sinks[0].url, "https://b");
	assert_null(c->sinks[0].token_file);
	config_free(c);
	buf_done(&problems);
}

static void mistakes_name_their_file(void **state)
{
	_cleanup_(freep) char *path = path_of("c");
	struct config *c = NULL;
	struct buf problems = {0};
	char expected[512];

	put("c",
	    "[sync]\nlinger=x\nbackoff_min=1h\n[sink \"a\"]\nclient_key=/k\nurl=https://a\n"
	    "[device \"A0:B1:C2:D3:E4:F5\"]\nname=a\n[device \"a0:b1:c2:d3:e4:f5\"]\nname=b\n");
	put("c.d/10.conf", "[sync]\n\n\nlinger=y\nbackoff_max=1min\n");
	put("c.d/20.conf", "");
	assert_int_equal(config_load(path, &problems, &c), CONFIG_E_BAD);
	buf_u8(&problems, 0);
	(void)snprintf(
		expected, sizeof(expected),
		"%s/c:2: linger is not a duration; write for example 250ms, 10s, 2min or 7d\n"
		"%s/c:10: name is already set in line 8; keep one of the two\n"
		"%s/c.d/10.conf:4: linger is not a duration; write for example 250ms, 10s, 2min or "
		"7d\n",
		top, top, top);
	assert_memory_equal(problems.data, expected, strlen(expected));
	(void)snprintf(expected, sizeof(expected), "%s/c.d/10.conf:5: backoff_max is shorter", top);
	assert_non_null(strstr((char *)problems.data, expected));
	(void)snprintf(expected, sizeof(expected), "%s/c:5: client_key needs its certificate", top);
	assert_non_null(strstr((char *)problems.data, expected));
	buf_done(&problems);
}

static void a_missing_file_is_a_mistake(void **state)
{
	struct config *c = NULL;
	struct buf problems = {0};

	assert_int_equal(config_load("/nonexistent/c", &problems, &c), CONFIG_E_BAD);
	buf_u8(&problems, 0);
	assert_string_equal((char *)problems.data,
			    "/nonexistent/c: cannot be read: No such file or directory\n");
	buf_done(&problems);
	assert_int_equal(config_load(top, &problems, &c), CONFIG_E_BAD);
	buf_done(&problems);
}

/* ---- config/vitald.conf ---- */

/*
 * The shipped file with its defaults uncommented: "#key" and "#[" lose the sign, prose has a blank.
 */
static void read_shipped(bool uncomment, struct buf *ret)
{
	struct buf text = {0};

	assert_int_equal(file_read("config/vitald.conf", 1 << 20, &text), 0);
	for (size_t i = 0; i < text.size; i++) {
		bool first = i == 0 || text.data[i - 1] == '\n';

		if (uncomment && first && text.data[i] == '#' && i + 1 < text.size &&
		    (text.data[i + 1] == '[' ||
		     (text.data[i + 1] >= 'a' && text.data[i + 1] <= 'z')))
			continue;
		buf_u8(ret, text.data[i]);
	}
	buf_u8(ret, 0);
	buf_done(&text);
}

static void expect_same_string(const char *a, const char *b)
{
	assert_true(!a == !b);
	if (a)
		assert_string_equal(a, b);
}

static void expect_same(const struct config_key *key, const void *a, const void *b)
{
	const void *p = (const char *)a + key->offset, *q = (const char *)b + key->offset;

	switch (key->type) {
	case CONFIG_TYPE_PATH:
	case CONFIG_TYPE_NAME:
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_PROXY:
	case CONFIG_TYPE_URL: expect_same_string(*(char *const *)p, *(char *const *)q); break;
	default:
		if (key->width > 0 && memcmp(p, q, key->width) != 0)
			fail_msg("the default of %s is not what config/vitald.conf shows",
				 key->name);
	}
}

static void shipped_file_shows_the_defaults(void **state)
{
	_cleanup_(config_freep) struct config *built_in =
		parse("[sink \"main\"]\nurl=https://ingest.example.org\n"
		      "[device \"a0:b1:c2:d3:e4:f5\"]\n");
	_cleanup_(config_freep) struct config *shipped = NULL, *as_is = NULL;
	struct buf text = {0};
	size_t n;
	const struct config_key *keys = config_keys(&n);

	read_shipped(false, &text);
	as_is = parse((char *)text.data);
	assert_int_equal(as_is->n_sinks + as_is->n_devices, 0);
	buf_reset(&text);
	read_shipped(true, &text);
	shipped = parse((char *)text.data);
	for (size_t i = 0; i < n; i++) {
		if (keys[i].scope == CONFIG_SCOPE_CONFIG) {
			expect_same(&keys[i], shipped, built_in);
		} else if (keys[i].scope == CONFIG_SCOPE_SINK) {
			expect_same(&keys[i], shipped->sinks, built_in->sinks);
		} else {
			expect_same(&keys[i], shipped->devices, built_in->devices);
		}
	}
	assert_int_equal(shipped->devices[0].kinds, CONFIG_KINDS_DEFAULT);
	assert_string_equal(shipped->devices[0].subject, "");
	buf_done(&text);
}

/* That it parses says that every key in it is known; here is the other way round. */
static void expect_in_file(const char *file, const char *before, const char *after)
{
	struct buf text = {0};
	size_t n;
	const struct config_key *keys = config_keys(&n);

	assert_int_equal(file_read(file, 1 << 20, &text), 0);
	buf_u8(&text, 0);
	for (size_t i = 0; i < n; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "\n%s%s%s", before, keys[i].name, after);
		if (!strstr((char *)text.data, line))
			fail_msg("%s says nothing about [%s] %s", file, keys[i].section,
				 keys[i].name);
	}
	buf_done(&text);
}

static void shipped_file_has_every_key(void **state)
{
	expect_in_file("config/vitald.conf", "#", " =");
}

static void manual_has_every_key(void **state)
{
	expect_in_file("config/vitald.conf.5", ".It Cm ", "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(reads_everything),
		cmocka_unit_test(reads_replay),
		cmocka_unit_test(names_each_mistake),
		cmocka_unit_test(checks_sinks),
		cmocka_unit_test(bounds_sinks_and_devices),
		cmocka_unit_test(keeps_secrets),
		cmocka_unit_test(drop_ins_override),
		cmocka_unit_test(mistakes_name_their_file),
		cmocka_unit_test(a_missing_file_is_a_mistake),
		cmocka_unit_test(shipped_file_shows_the_defaults),
		cmocka_unit_test(shipped_file_has_every_key),
		cmocka_unit_test(manual_has_every_key),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* ctl/screen: the page of `vitalctl status`, to the letter, for a few states of the world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/cells.c" /* vitalctl's files are in no library */
#include "ctl/screen.c"
#include "ctl/text.c"

/* What a test says of the world; the rest is the same in all. */
struct world {
	const char *state, *verdict;
	bool running, connected;
	const char *name, *sink_state;
	uint64_t waiting;
	int64_t clock_step_us;
	const char *severity, *what, *detail, *consequence, *remedy; /* severity NULL: no problem */
};

static void add_summary(struct tables *t, const struct world *w)
{
	struct table *s = tables_add(
		t, "summary",
		"state verdict version gateway running pid since_us run "
		"clock_synchronised clock_step_us clock_step_wall_us log_bytes wal_bytes max_bytes "
		"tail_size_bytes tail_used_bytes durability_us");

	table_string(s, w->state);
	table_string(s, w->verdict);
	table_string(s, "0.1.0");
	table_string(s, "hub");
	table_bool(s, w->running);
	table_i64(s, 412);
	table_u64(s, 273600 * USEC_PER_SEC);
	table_u64(s, 12);
	table_bool(s, true);
	if (w->clock_step_us) {
		table_i64(s, w->clock_step_us);
		table_i64(s, INT64_C(1772366400) * 1000000);
	} else {
		table_null(s);
		table_null(s);
	}
	table_u64(s, 12 << 20);
	table_u64(s, 1 << 19);
	table_u64(s, UINT64_C(2) << 30);
	table_u64(s, 4 << 20);
	table_u64(s, 1 << 17);
	table_u64(s, USEC_PER_SEC);
}

static void add_device(struct tables *t, const struct world *w)
{
	struct table *d = tables_add(t, "devices",
				     "address name state last_sample_us last_confirmed_us "
				     "waiting gaps battery_percent bpm why");

	table_string(d, "a0:b1:c2:d3:e4:f5");
	table_string(d, w->name);
	table_string(d, w->connected ? "streaming" : "waiting");
	table_u64(d, USEC_PER_SEC);
	table_u64(d, 250 * USEC_PER_SEC);
	table_u64(d, w->waiting);
	table_u64(d, 1);
	table_u64(d, 80);
	if (w->connected)
		table_u64(d, 61);
	else
		table_null(d);
	table_string(d, w->connected ? "" : "the wearable ended the link");
}

static void add_sink(struct tables *t, const struct world *w)
{
	struct table *s = tables_add(t, "sinks",
				     "name state confirmed waiting drain_us next_attempt_us "
				     "last_success_us");

	table_string(s, "main");
	table_string(s, w->sink_state);
	table_u64(s, 123456);
	table_u64(s, w->waiting);
	table_null(s);
	table_u64(s, 12 * USEC_PER_SEC);
	table_u64(s, 2 * USEC_PER_SEC);
}

static void add_problem(struct tables *t, const struct world *w)
{
	struct table *p = tables_add(t, "problems", "severity what detail consequence remedy");

	if (!w->severity)
		return;
	table_string(p, w->severity);
	table_string(p, w->what);
	table_string(p, w->detail ? w->detail : "");
	table_string(p, w->consequence);
	table_string(p, w->remedy);
}

static void page_is(const struct world *w, const char *text)
{
	_cleanup_(tables_done) struct tables t = {0};
	_cleanup_(buf_done) struct buf out = {0};

	add_summary(&t, w);
	if (w->name)
		add_device(&t, w);
	if (w->sink_state)
		add_sink(&t, w);
	add_problem(&t, w);
	assert_false(tables_failed(&t));
	screen_make(&out, &t, 80, false);
	buf_u8(&out, 0);
	assert_false(out.failed);
	assert_string_equal((const char *)out.data, text);
}

static void a_clock_that_was_set(void **state)
{
	const struct world w = {.state = "healthy",
				.verdict = "1 wearable connected, everything heard is confirmed",
				.running = true,
				.connected = true,
				.name = "Anna",
				.sink_state = "up",
				.clock_step_us = -4000000};

	page_is(&w, "HEALTHY  1 wearable connected, everything heard is confirmed\n"
		    "hub, vitald 0.1.0, pid 412, up 3 d 4 h, run 12, clock synchronised, set back\n"
		    "  by 4 s at 2026-03-01T12:00:00Z\n"
		    "store 12.5 MiB of 2.0 GiB, tail 3 % full, on the disk within 1 s\n"
		    "\n"
		    "WEARABLE  STATE      HEARD  CONFIRMED  WAITING  GAPS  BATTERY  BPM\n"
		    "Anna      streaming    1 s      4 min        0     1     80 %   61\n"
		    "\n"
		    "SERVER  STATE  CONFIRMED  WAITING  DONE IN  NEXT TRY  LAST YES\n"
		    "main    up        123456        0        -         -       2 s\n");
}

static void healthy(void **state)
{
	const struct world w = {.state = "healthy",
				.verdict = "1 wearable connected, everything heard is confirmed",
				.running = true,
				.connected = true,
				.name = "Anna",
				.sink_state = "up"};

	page_is(&w, "HEALTHY  1 wearable connected, everything heard is confirmed\n"
		    "hub, vitald 0.1.0, pid 412, up 3 d 4 h, run 12, clock synchronised\n"
		    "store 12.5 MiB of 2.0 GiB, tail 3 % full, on the disk within 1 s\n"
		    "\n"
		    "WEARABLE  STATE      HEARD  CONFIRMED  WAITING  GAPS  BATTERY  BPM\n"
		    "Anna      streaming    1 s      4 min        0     1     80 %   61\n"
		    "\n"
		    "SERVER  STATE  CONFIRMED  WAITING  DONE IN  NEXT TRY  LAST YES\n"
		    "main    up        123456        0        -         -       2 s\n");
}

static void server_down(void **state)
{
	const struct world w = {
		.state = "degraded",
		.verdict = "the server \"main\" is down since 4 min: connection refused",
		.running = true,
		.connected = true,
		.name = "Anna",
		.sink_state = "down",
		.waiting = 812,
		.severity = "degraded",
		.what = "the server \"main\" is down since 4 min: connection refused",
		.detail = "Failed to connect to x port 443 after 0 ms: Couldn't connect to server",
		.consequence = "nothing is lost: 812 records are safe on this machine and will be "
			       "sent",
		.remedy = "check the network and the server; next attempt in 12 s, or now with "
			  "`vitalctl sync`"};

	page_is(&w,
		"DEGRADED  the server \"main\" is down since 4 min: connection refused\n"
		"hub, vitald 0.1.0, pid 412, up 3 d 4 h, run 12, clock synchronised\n"
		"store 12.5 MiB of 2.0 GiB, tail 3 % full, on the disk within 1 s\n"
		"\n"
		"  ! the server \"main\" is down since 4 min: connection refused\n"
		"    in detail: Failed to connect to x port 443 after 0 ms: Couldn't connect to\n"
		"               server\n"
		"    nothing is lost: 812 records are safe on this machine and will be sent\n"
		"    -> check the network and the server; next attempt in 12 s, or now with\n"
		"       `vitalctl sync`\n"
		"\n"
		"WEARABLE  STATE      HEARD  CONFIRMED  WAITING  GAPS  BATTERY  BPM\n"
		"Anna      streaming    1 s      4 min      812     1     80 %   61\n"
		"\n"
		"SERVER  STATE  CONFIRMED  WAITING  DONE IN  NEXT TRY  LAST YES\n"
		"main    down      123456      812        -      12 s       2 s\n");
}

/* A name that would clear the screen, of letters two columns wide, and too long. */
static void held_and_hostile(void **state)
{
	const struct world w = {.state = "degraded",
				.verdict = "the server \"main\" refuses us: \033[2J401",
				.running = true,
				.name = "\033[2J\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83"
					"\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83",
				.sink_state = "held"};

	page_is(&w,
		"DEGRADED  the server \"main\" refuses us: \xef\xbf\xbd[2J401\n"
		"hub, vitald 0.1.0, pid 412, up 3 d 4 h, run 12, clock synchronised\n"
		"store 12.5 MiB of 2.0 GiB, tail 3 % full, on the disk within 1 s\n"
		"\n"
		"WEARABLE           STATE    HEARD  CONFIRMED  WAITING  GAPS  BATTERY  BPM\n"
		"\xef\xbf\xbd[2J\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83\xe5\xbf\x83"
		"\xe5\xbf\x83\xe2\x80\xa6  waiting    1 s      4 min        0     1     80 %    "
		"-\n"
		"    the wearable ended the link\n"
		"\n"
		"SERVER  STATE  CONFIRMED  WAITING  DONE IN  NEXT TRY  LAST YES\n"
		"main    held      123456        0        -      12 s       2 s\n");
}

static void no_daemon(void **state)
{
	const struct world w = {.state = "not_working",
				.verdict = "the daemon is not running",
				.severity = "not_working",
				.what = "the daemon is not running",
				.consequence = "",
				.remedy = "`systemctl restart vitald`"};

	page_is(&w, "NOT WORKING  the daemon is not running\n"
		    "hub, vitald 0.1.0, run 12, clock synchronised\n"
		    "store 12.5 MiB of 2.0 GiB, tail 3 % full, on the disk within 1 s\n"
		    "\n"
		    "  ! the daemon is not running\n"
		    "    -> `systemctl restart vitald`\n"
		    "\n"
		    "no wearables\n"
		    "\n"
		    "no servers\n");
}

static void add_rate(struct table *r, uint64_t hours, uint64_t batches, double at_once,
		     uint64_t queued)
{
	table_string(r, "main");
	table_u64(r, hours * 3600 * USEC_PER_SEC);
	table_u64(r, batches);
	table_double(r, at_once);
	table_u64(r, hours == 1 ? 420 * USEC_PER_MSEC : 12 * USEC_PER_SEC);
	table_u64(r, queued);
	if (queued)
		table_double(r, 99.96);
	else
		table_null(r);
	table_u64(r, queued); /* recovered */
	table_u64(r, 0);      /* late */
}

/* Windows that say nothing new are left out; nothing at all: no table. */
static void rates_of_a_day(void **state)
{
	_cleanup_(tables_done) struct tables t = {0};
	_cleanup_(buf_done) struct buf out = {0};
	struct table *r = tables_add(&t, "rates",
				     "sink window_us batches at_once_percent latency_us queued "
				     "recovered_percent recovered late");

	make_rates(&out, r, 80);
	assert_int_equal(out.size, 0);
	add_rate(r, 1, 3600, 100, 0);
	add_rate(r, 24, 86000, 99.31, 5123);
	add_rate(r, 168, 86000, 99.31, 5123);
	make_rates(&out, r, 80);
	buf_u8(&out, 0);
	assert_string_equal((const char *)out.data,
			    "\n"
			    "SERVER  LAST  BATCHES  AT ONCE  LATENCY  QUEUED  RECOVERED\n"
			    "main     1 h     3600  100.0 %    0.4 s       0          -\n"
			    "main    24 h    86000   99.3 %     12 s    5123    100.0 %\n");
}

/* Half an address is that of two wearables: what else there is gives way. */
static void an_address_stays_whole(void **state)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct table *s = tables_add(&t, "", "=ADDRESS NAME >HEARD");
	_cleanup_(buf_done) struct buf out = {0};

	table_string(s, "c0:de:00:00:00:01");
	table_string(s, "Simulated strap 1");
	table_string(s, "4 s");
	text_table(&out, s, 34);
	buf_append(&out, "", 1);
	assert_string_equal((const char *)out.data,
			    "ADDRESS           NAME       HEARD\n"
			    "c0:de:00:00:00:01 Simulated\xe2\x80\xa6   4 s\n");
}

/* On a phone of 60 columns no line is longer than that, whatever the names are. */
static void narrow(void **state)
{
	_cleanup_(tables_done) struct tables t = {0};
	_cleanup_(buf_done) struct buf out = {0};
	const struct world w = {
		.state = "degraded",
		.verdict = "the server \"main\" has been down for 4 min: connection "
			   "refused",
		.running = true,
		.name = "Simulated strap 12",
		.sink_state = "down",
		.waiting = 123456,
		.severity = "degraded",
		.what = "the server \"main\" has been down for 4 min: connection refused",
		.consequence = "nothing is lost: 123456 records are safe on this machine "
			       "and will be sent",
		.remedy = "check the network and the server"};
	struct table *r;

	add_summary(&t, &w);
	add_device(&t, &w);
	add_sink(&t, &w);
	add_problem(&t, &w);
	r = tables_add(&t, "rates",
		       "sink window_us batches at_once_percent latency_us queued "
		       "recovered_percent recovered late");
	add_rate(r, 1, 123456, 100, 1234567);
	screen_make(&out, &t, 60, false);
	buf_u8(&out, 0);
	assert_false(out.failed);
	for (char *rest = NULL, *line = strtok_r((char *)out.data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		if (text_columns(line) > 60)
			fail_msg("%zu columns: %s", text_columns(line), line);
}

static void wraps_and_measures(void **state)
{
	_cleanup_(buf_done) struct buf out = {0};

	text_wrap(&out, "aaaa bbbb cccc dddd eeee ffff gggggggggggggggggggggggggggg", 24, 4);
	buf_u8(&out, 0);
	assert_string_equal((const char *)out.data, "aaaa bbbb cccc dddd\n    eeee ffff\n"
						    "    gggggggggggggggggggg\n    gggggggg\n");
	assert_int_equal(text_columns("\xe5\xbf\x83 a\xcc\x81"), 4);
	assert_int_equal(text_columns("\xff\xfe"), 2);
	buf_reset(&out);
	text_clean(&out, "a\xe2\x80\xae\xc2\x9b\x7f\n");
	assert_int_equal(out.size, 1 + 4 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_stays_whole), cmocka_unit_test(healthy),
		cmocka_unit_test(a_clock_that_was_set),	  cmocka_unit_test(server_down),
		cmocka_unit_test(held_and_hostile),	  cmocka_unit_test(no_daemon),
		cmocka_unit_test(rates_of_a_day),	  cmocka_unit_test(narrow),
		cmocka_unit_test(wraps_and_measures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Two hundred hubs of one town on a clock that stands still, and one server that writes down when
 * each of them knocks: after a power cut, during an outage, when the server is back and nobody tells
 * them, and when the network is back and all of them are told in the same second. The code that
 * decides is the real one, from uploader to socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dirs.h"
#include "http_server.h"
#include "told-time.h"
#include "upload/uploader.h"
#include "util/log.h"

#include <sys/resource.h>

enum { HUBS = 200, KNOCKS_MAX = 20000, SPREAD_S = 8 };

struct fleet {
	char dir[DIR_SIZE], state[SUBDIR_SIZE], run[SUBDIR_SIZE];
	sd_event *event;
	struct store *store;
	struct server *server;
	struct config configs[HUBS];
	struct config_sink sinks[HUBS];
	char names[HUBS][16], gateways[HUBS][16];
	struct uploader *uploaders[HUBS];
	bool up;
	/* Who knocked when. */
	struct knock {
		unsigned hub;
		usec_t at;
	} knocks[KNOCKS_MAX];
	size_t n_knocks;
};

static bool answer(void *userdata, const struct server_request *q, struct buf *out)
{
	struct fleet *f = userdata;
	const char *hub = strstr(q->head, "?gateway=hub-");

	assert_non_null(hub);
	assert_in_range(f->n_knocks, 0, KNOCKS_MAX - 1);
	f->knocks[f->n_knocks++] =
		(struct knock){.hub = (unsigned)strtoul(hub + 13, NULL, 10), .at = q->at};
	server_respond(out, f->up ? 200 : 503, "X-Ingest-Contract: 1\r\nConnection: close\r\n",
		       "[]");
	return true;
}

static void wire_hub(struct fleet *f, unsigned i)
{
	(void)snprintf(f->names[i], sizeof(f->names[i]), "s%u", i);
	(void)snprintf(f->gateways[i], sizeof(f->gateways[i]), "hub-%u", i);
	f->sinks[i] = (struct config_sink){.name = f->names[i],
					   .url = f->server->url,
					   .required = true,
					   .max_body = 256 * 1024};
	/* As shipped. */
	f->configs[i] =
		(struct config){.gateway = f->gateways[i],
				.linger = 250 * USEC_PER_MSEC,
				.immediate_retry_delays = {0, USEC_PER_SEC, 3 * USEC_PER_SEC},
				.n_immediate_retry_delays = 3,
				.immediate_timeout = 10 * USEC_PER_SEC,
				.background_timeout = 60 * USEC_PER_SEC,
				.backoff_min = 2 * USEC_PER_SEC,
				.backoff_max = 900 * USEC_PER_SEC,
				.probe_interval = 900 * USEC_PER_SEC,
				.trust_clock = CLOCK_TRUST_YES,
				.immediate = true,
				.queue = true,
				.sinks = &f->sinks[i],
				.n_sinks = 1};
}

/* One store does for all: nobody has anything in it, and each has a sink of its own. */
static int set_up(void **state)
{
	struct fleet *f = calloc(1, sizeof(*f));
	const struct clock_state clock = {.synchronised = true};
	struct store_options o = {.role = "test", .tail_size = 64 * 1024};
	struct store_opening opening;
	struct rlimit files;

	log_init(LOG_TARGET_STDERR, LOG_CRIT);
	assert_non_null(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = MIN(files.rlim_max, (rlim_t)4096);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	dirs_make("/dev/shm", f->dir, f->state, f->run);
	assert_int_equal(sd_event_new(&f->event), 0);
	f->server = server_new(f->event, answer, f);
	o.state_dir = f->state;
	o.runtime_dir = f->run;
	assert_int_equal(store_open(&o, told_time(), &clock, &opening, &f->store), 0);
	for (unsigned i = 0; i < HUBS; i++)
		wire_hub(f, i);
	*state = f;
	return 0;
}

static void begin(struct fleet *f)
{
	const struct uploader_handler handler = {0};

	for (unsigned i = 0; i < HUBS; i++)
		assert_int_equal(uploader_new(f->event, f->store, &f->configs[i], UPLOADER_DAEMON,
					      &handler, &f->uploaders[i]),
				 0);
}

static int tear_down(void **state)
{
	struct fleet *f = *state;

	for (unsigned i = 0; i < HUBS; i++)
		uploader_free(f->uploaders[i]);
	f->store = store_close(f->store);
	f->server = server_free(f->server);
	sd_event_unref(f->event);
	dirs_remove(f->dir);
	free(f);
	return 0;
}

/* Lets so much time pass, from one timer to the next. */
static void pass(struct fleet *f, usec_t us)
{
	usec_t end = told_time() + us;

	for (;;) {
		/* Loopback delivers within the call that sends: nothing is under way behind our back. */
		for (unsigned idle = 0; idle < 3; idle++)
			while (sd_event_run(f->event, 0) > 0)
				idle = 0;
		if (told_time() == end)
			return;
		told_time_set(MIN(told_time_next(), end));
	}
}

/* The most knocks in any `width` from `from` on. */
static unsigned densest(const struct fleet *f, usec_t from, usec_t width)
{
	unsigned most = 0;

	for (size_t i = 0, j = 0; i < f->n_knocks; i++) {
		if (f->knocks[i].at < from)
			continue;
		while (j < i &&
		       (f->knocks[j].at < from || f->knocks[j].at + width <= f->knocks[i].at))
			j++;
		most = MAX(most, (unsigned)(i - j + 1));
	}
	return most;
}

/* How many hubs knocked in [from, to), and when the first and the last of them did so first. */
static unsigned who_knocked(const struct fleet *f, usec_t from, usec_t to, usec_t *ret_first,
			    usec_t *ret_last)
{
	bool seen[HUBS] = {0};
	unsigned n = 0;

	*ret_first = USEC_INFINITY;
	*ret_last = 0;
	for (size_t i = 0; i < f->n_knocks; i++) {
		const struct knock *k = &f->knocks[i];

		if (k->at < from || k->at >= to || seen[k->hub])
			continue;
		seen[k->hub] = true;
		n++;
		*ret_first = MIN(*ret_first, k->at - from);
		*ret_last = MAX(*ret_last, k->at - from);
	}
	return n;
}

/* All within the spread, and evenly: a fair second has 25 of the 200. */
static void assert_spread(const struct fleet *f, usec_t from)
{
	usec_t first, last;

	assert_int_equal(who_knocked(f, from, from + (SPREAD_S + 1) * USEC_PER_SEC, &first, &last),
			 HUBS);
	assert_in_range(first, 0, USEC_PER_SEC);
	assert_in_range(last, (SPREAD_S - 1) * USEC_PER_SEC, SPREAD_S * USEC_PER_SEC);
	assert_in_range(densest(f, from, USEC_PER_SEC), 1, 60);
}

static void after_a_power_cut(void **state)
{
	struct fleet *f = *state;
	usec_t begun = told_time();

	f->up = true;
	assert_true(begun < 1200 * USEC_PER_SEC); /* since the boot */
	begin(f);
	pass(f, 60 * USEC_PER_SEC);
	assert_spread(f, begun);
	assert_int_equal(f->n_knocks, HUBS);
}

static void when_the_network_is_back(void **state)
{
	struct fleet *f = *state;
	usec_t back;

	begin(f);
	pass(f, 3600 * USEC_PER_SEC);
	back = told_time();
	f->up = true;
	for (unsigned i = 0; i < HUBS; i++)
		uploader_return(f->uploaders[i]);
	pass(f, 600 * USEC_PER_SEC);
	assert_spread(f, back);
}

static void through_an_outage_and_after_it(void **state)
{
	struct fleet *f = *state;
	usec_t outage = told_time(), back, first, last;
	size_t knocks;

	begin(f);
	pass(f, 3600 * USEC_PER_SEC);
	knocks = f->n_knocks;
	pass(f, 3600 * USEC_PER_SEC);
	/* Half of 15 min between two, on the average: 8 an hour each. */
	assert_in_range(f->n_knocks - knocks, 6 * HUBS, 10 * HUBS);
	assert_in_range(densest(f, outage + 3600 * USEC_PER_SEC, USEC_PER_SEC), 1, 8);
	f->up = true;
	back = told_time();
	pass(f, 900 * USEC_PER_SEC);
	assert_int_equal(who_knocked(f, back, told_time() + 1, &first, &last), HUBS);
	assert_in_range(last, 600 * USEC_PER_SEC, 900 * USEC_PER_SEC);
	assert_in_range(densest(f, back, USEC_PER_SEC), 1, 8);
	assert_in_range(densest(f, back, 60 * USEC_PER_SEC), 1, 60);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_a_power_cut), /* the first: the clock begins soon after a boot */
		TEST(when_the_network_is_back),
		TEST(through_an_outage_and_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * collect: more wearables than there are places. Who passes by does not take the place of who is
 * worn, and a strap whose place was given away goes on in its stream, with a gap that says why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collect.h"
#include "place.h"
#include "util/log.h"

enum { PASSERS_BY = 100 };

static void admitted(void *userdata, usec_t now)
{
	(*(unsigned *)userdata)++;
}

static void fault(void *userdata, int r)
{
	fail_msg("a write failed: %d", r);
}

static void beat(struct place *p, const struct source_handler *h, const char *address)
{
	static const uint8_t bytes[] = {0x00, 60};
	const struct frame f = {.device = address,
				.characteristic = CHARACTERISTIC_HEART_RATE_MEASUREMENT,
				.boot_us = p->now,
				.read_us = p->now,
				.data = bytes,
				.size = sizeof(bytes)};

	h->frame(h->userdata, &f);
	p->now += USEC_PER_SEC;
}

static void visit(struct place *p, const struct source_handler *h, const char *address)
{
	h->connected(h->userdata, address, "", p->now);
	beat(p, h, address);
	h->disconnected(h->userdata, address, GAP_LINK_LOSS, p->now);
}

static int note_gap(void *userdata, const struct record *r)
{
	if (r->type == RECORD_GAP)
		*(uint8_t *)userdata = r->gap.reason;
	return 0;
}

static void strangers_take_no_place_of_a_strap(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	const struct config config = {.auto_enroll = true};
	unsigned n = 0;
	const struct collect_handler handler = {.userdata = &n,
						.admitted = admitted,
						.fault = fault};
	_cleanup_(collect_freep) struct collect *c = NULL;
	struct source_handler h;
	char address[DEVICE_ADDRESS_SIZE];
	uint8_t reason = 0;

	log_init(LOG_TARGET_STDERR, 3);
	assert_int_equal(collect_new(s, &config, GAP_POWER_CUT, &handler, &c), 0);
	h = collect_source(c);
	visit(p, &h, "a0:00:00:00:00:01");
	h.connected(h.userdata, "a0:00:00:00:00:02", "", p->now);
	for (unsigned i = 0; i < PASSERS_BY; i++) {
		(void)snprintf(address, sizeof(address), "c0:00:00:00:00:%02x", i);
		visit(p, &h, address);
		beat(p, &h, "a0:00:00:00:00:02");
	}
	visit(p, &h, "a0:00:00:00:00:01");
	assert_int_equal(store_stream_count(s), 2 + PASSERS_BY);
	assert_int_equal(n, 2 * PASSERS_BY + 3); /* one of them a gap */
	assert_int_equal(store_read(s, 1, 0, UINT64_MAX, 0, note_gap, &reason), 0);
	assert_int_equal(reason, GAP_LINK_LOSS);
	assert_balanced(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(strangers_take_no_place_of_a_strap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

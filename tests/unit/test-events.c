/* control/events: the ring wraps, survives a reopening, and leaves out what was half written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/events.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER = 64, SLOT = sizeof(struct sync_event) + 8 };

struct seen {
	size_t n;
	uint32_t first, last;
	bool ordered;
};

static int set_up(void **state)
{
	char *dir = strdup("/tmp/vitald-events-XXXXXX");

	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static int tear_down(void **state)
{
	char *dir = *state, path[64];

	(void)snprintf(path, sizeof(path), "%s/events", dir);
	(void)unlink(path);
	assert_int_equal(rmdir(dir), 0);
	free(dir);
	return 0;
}

static struct events *open_ring(void **state, bool writable)
{
	struct events *e = NULL;

	assert_int_equal(events_open(*state, writable, &e), 0);
	return e;
}

static void push(struct events *e, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++) {
		struct sync_event event = {.wall_us = i, .count = i, .sink = "main"};

		assert_int_equal(events_push(e, &event), 0);
	}
}

static void see(void *userdata, const struct sync_event *event)
{
	struct seen *seen = userdata;

	assert_true(event->number == event->count || event->count == 50);
	if (seen->n++ == 0)
		seen->first = event->count;
	else
		seen->ordered = seen->ordered && event->count > seen->last;
	seen->last = event->count;
}

static struct seen look(struct events *e, int64_t since)
{
	struct seen seen = {.ordered = true};

	assert_int_equal(events_each(e, since, see, &seen), 0);
	assert_true(seen.ordered);
	return seen;
}

static void damage(void **state, off_t offset)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/events", (char *)*state);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff\xff", 2, offset), 2);
	assert_int_equal(close(fd), 0);
}

static void absent_ring(void **state)
{
	struct events *e = NULL;

	assert_int_equal(events_open(*state, false, &e), EVENTS_E_ABSENT);
	assert_null(e);
	assert_true(events_open("/nonexistent", true, &e) < 0);
	assert_null(events_close(NULL));
}

static void keeps_order_and_filters(void **state)
{
	_cleanup_(events_closep) struct events *e = open_ring(state, true);
	struct seen seen;

	assert_int_equal(look(e, INT64_MIN).n, 0);
	assert_int_equal(events_last(e), 0);
	push(e, 1, 10);
	assert_int_equal(events_last(e), 10);
	seen = look(e, INT64_MIN);
	assert_int_equal(seen.n, 10);
	assert_int_equal(seen.first, 1);
	seen = look(e, 8);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.first, 8);
}

static void wraps(void **state)
{
	_cleanup_(events_closep) struct events *e = open_ring(state, true), *reader = NULL;
	struct seen seen;

	push(e, 1, EVENTS_SLOTS + 100);
	assert_int_equal(events_open(*state, false, &reader), 0);
	seen = look(reader, INT64_MIN);
	assert_int_equal(seen.n, EVENTS_SLOTS);
	assert_int_equal(seen.first, 101);
	assert_int_equal(seen.last, EVENTS_SLOTS + 100);
}

static void goes_on_after_reopening(void **state)
{
	struct events *e = open_ring(state, true);
	struct seen seen;

	push(e, 1, EVENTS_SLOTS + 5);
	(void)events_close(e); /* returns NULL */
	e = open_ring(state, true);
	push(e, EVENTS_SLOTS + 6, 1);
	seen = look(e, INT64_MIN);
	assert_int_equal(seen.n, EVENTS_SLOTS);
	assert_int_equal(seen.first, 7);
	assert_int_equal(seen.last, EVENTS_SLOTS + 6);
	(void)events_close(e); /* returns NULL */
}

static void leaves_out_torn_slots(void **state)
{
	_cleanup_(events_closep) struct events *e = open_ring(state, true);
	struct seen seen;

	push(e, 1, 5);
	damage(state, HEADER + 4 * SLOT + 20);
	seen = look(e, INT64_MIN);
	assert_int_equal(seen.n, 4);
	assert_int_equal(seen.last, 4);
	(void)events_close(e); /* returns NULL */
	e = open_ring(state, true);
	push(e, 50, 1); /* takes the torn one's place */
	seen = look(e, INT64_MIN);
	assert_int_equal(seen.n, 5);
	assert_int_equal(seen.last, 50);
}

static void replaces_what_is_not_a_ring(void **state)
{
	struct events *e = open_ring(state, true);

	push(e, 1, 3);
	(void)events_close(e); /* returns NULL */
	damage(state, 0);
	assert_int_equal(events_open(*state, false, &e), EVENTS_E_ABSENT);
	e = open_ring(state, true);
	assert_int_equal(look(e, INT64_MIN).n, 0);
	push(e, 1, 1);
	assert_int_equal(look(e, INT64_MIN).n, 1);
	(void)events_close(e); /* returns NULL */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(absent_ring, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_order_and_filters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wraps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_on_after_reopening, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leaves_out_torn_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_what_is_not_a_ring, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

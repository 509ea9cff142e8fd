/*
 * control/table: every type of cell goes over a real connection and comes back; what is not a table
 * is refused; names that are not UTF-8 are repaired on the way in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/table.h"

#include <sys/socket.h>

/* Two ends of one connection; authenticated. */
struct pair {
	sd_bus *client, *server;
};

static int set_up(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	sd_id128_t id;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&p->client) >= 0);
	assert_true(sd_bus_set_fd(p->client, fd[0], fd[0]) >= 0);
	assert_true(sd_bus_new(&p->server) >= 0);
	assert_true(sd_bus_set_fd(p->server, fd[1], fd[1]) >= 0);
	assert_true(sd_bus_set_server(p->server, 1, id) >= 0);
	assert_true(sd_bus_start(p->client) >= 0);
	assert_true(sd_bus_start(p->server) >= 0);
	while (sd_bus_is_ready(p->client) <= 0 || sd_bus_is_ready(p->server) <= 0) {
		assert_true(sd_bus_process(p->client, NULL) >= 0);
		assert_true(sd_bus_process(p->server, NULL) >= 0);
	}
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *p = *state;

	p->client = sd_bus_close_unref(p->client);
	p->server = sd_bus_close_unref(p->server);
	free(p);
	return 0;
}

static sd_bus_message *new_message(struct pair *p)
{
	sd_bus_message *m = NULL;

	assert_int_equal(sd_bus_message_new_signal(p->client, &m, "/x", "x.y", "Z"), 0);
	return m;
}

/* Sends it and returns what arrived. Takes m. */
static sd_bus_message *carry(struct pair *p, sd_bus_message *m)
{
	sd_bus_message *got = NULL;

	assert_true(sd_bus_send(p->client, m, NULL) >= 0);
	assert_null(sd_bus_message_unref(m));
	while (!got) {
		assert_true(sd_bus_flush(p->client) >= 0);
		assert_true(sd_bus_process(p->server, &got) >= 0);
	}
	return got;
}

static void fill(struct tables *t)
{
	struct table *a = tables_add(t, "first", "a b c d e f");

	for (int i = 0; i < 3; i++) {
		table_string(a, i == 1 ? "J\xc3\xbcrgen \xff\x1b[2J" : "x");
		table_i64(a, INT64_MIN + i);
		table_u64(a, UINT64_MAX - (uint64_t)i);
		table_double(a, 0.25 * i);
		table_bool(a, i == 2);
		table_string(a, NULL);
	}
	assert_non_null(tables_add(t, "empty", "only"));
	assert_non_null(tables_add(t, "bare", ""));
}

static void check(const struct tables *t)
{
	const struct table *a = tables_find(t, "first");

	assert_int_equal(t->n, 3);
	assert_int_equal(table_rows(a), 3);
	assert_string_equal(table_get_string(a, 0, "a"), "x");
	assert_string_equal(table_get_string(a, 1, "a"), "J\xc3\xbcrgen \xef\xbf\xbd\x1b[2J");
	assert_true(table_cell(a, 2, "b")->i64 == INT64_MIN + 2);
	assert_true(table_get_u64(a, 0, "c", 0) == UINT64_MAX);
	assert_true(table_cell(a, 1, "d")->real > 0.24 && table_cell(a, 1, "d")->real < 0.26);
	assert_true(table_get_u64(a, 2, "e", 9) == 1);
	assert_int_equal(table_cell(a, 0, "f")->type, CELL_NULL);
	assert_int_equal(table_cell(a, 3, "a")->type, CELL_NULL);
	assert_int_equal(table_cell(a, 0, "z")->type, CELL_NULL);
	assert_int_equal(table_get_u64(a, 0, "b", 7), 7); /* negative */
	assert_int_equal(table_rows(tables_find(t, "empty")), 0);
	assert_int_equal(table_rows(tables_find(t, "nowhere")), 0);
}

static void comes_back(void **state)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(*state);
	_cleanup_(tables_done) struct tables t = {0}, got = {0};

	fill(&t);
	assert_false(tables_failed(&t));
	check(&t);
	assert_int_equal(tables_append(m, &t), 0);
	m = carry(*state, m);
	assert_int_equal(tables_read(m, &got), 0);
	check(&got);
}

static void half_a_row(void **state)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(*state);
	_cleanup_(tables_done) struct tables t = {0};
	struct table *a = tables_add(&t, "t", "a b");

	table_bool(a, true);
	assert_true(tables_failed(&t));
	assert_true(tables_append(m, &t) < 0);
	tables_done(&t);
	table_bool(tables_add(&t, "bare", ""), true); /* a cell, and no column for it */
	assert_true(tables_failed(&t));
	table_bool(NULL, true); /* no memory, some time ago */
	table_string(NULL, "x");
}

static void bounds(void **state)
{
	_cleanup_(tables_done) struct tables t = {0};

	for (int i = 0; i < TABLES_MAX; i++)
		assert_non_null(tables_add(&t, "t", "a"));
	assert_null(tables_add(&t, "t", "a"));
	assert_true(tables_failed(&t));
}

/* Rows wider and narrower than the table, cells of other types, another signature. */
static void malformed(void **state)
{
	for (int width = 0; width < 4; width++) {
		_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(*state);
		_cleanup_(tables_done) struct tables got = {0};

		assert_true(sd_bus_message_open_container(m, 'a', "(sasaav)") >= 0);
		assert_true(sd_bus_message_open_container(m, 'r', "sasaav") >= 0);
		assert_true(sd_bus_message_append(m, "sas", "t", 2, "a", "b") >= 0);
		assert_true(sd_bus_message_open_container(m, 'a', "av") >= 0);
		assert_true(sd_bus_message_open_container(m, 'a', "v") >= 0);
		for (int i = 0; i < width; i++)
			assert_true(sd_bus_message_append(m, "v", "s", "x") >= 0);
		for (int i = 0; i < 4; i++)
			assert_true(sd_bus_message_close_container(m) >= 0);
		m = carry(*state, m);
		assert_int_equal(tables_read(m, &got), width == 2 ? 0 : TABLES_E_MALFORMED);
	}
}

static void other_types(void **state)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(*state), *n = NULL;
	_cleanup_(tables_done) struct tables got = {0};

	assert_true(sd_bus_message_append(m, "a(sasaav)", 1, "t", 1, "a", 1, 1, "y", 5) >= 0);
	m = carry(*state, m);
	assert_int_equal(tables_read(m, &got), TABLES_E_MALFORMED);
	n = new_message(*state);
	assert_true(sd_bus_message_append(n, "s", "tables") >= 0);
	n = carry(*state, n);
	assert_int_equal(tables_read(n, &got), TABLES_E_MALFORMED);
	assert_int_equal(got.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(half_a_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_types, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

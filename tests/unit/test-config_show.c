/*
 * model/config_show: what is shown is what was set, and set again it is the same; every key is there; and
 * where it was set, in the file or a drop-in, is right to the line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/config_show.h"

#include "model/config_key.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char everything[] = "[daemon]\n"
				 "state_dir = /a/b\n"
				 "gateway = hub.7\n"
				 "[source]\n"
				 "type = replay\n"
				 "file = /c d\n"
				 "pace = fast\n"
				 "handles = 0x0010=2a37 17=2a19\n"
				 "[bluetooth]\n"
				 "adapter = A0:B1:C2:D3:E4:F5\n"
				 "[sync]\n"
				 "immediate_retry_delays = 0 1500ms 60\n"
				 "linger = 0\n"
				 "lazy_commit = 59min\n"
				 "max_size = 3145728\n"
				 "tail_size = 65537\n"
				 "[features]\n"
				 "queue = off\n"
				 "[log]\n"
				 "level = debug\n"
				 "[sink \"a\"]\n"
				 "url = https://a.example/\n"
				 "token_file = /etc/token\n"
				 "from = now\n"
				 "[sink \"b\"]\n"
				 "type = http\n"
				 "url = https://b.example\n"
				 "proxy = socks5h://p.example:1080\n"
				 "required = no\n"
				 "[device \"A0:B1:C2:D3:E4:F5\"]\n"
				 "name = Anna's strap\n"
				 "streams = ecg, acceleration\n"
				 "pair = no\n";

static struct config *parse(const char *name, const char *text)
{
	struct buf problems = {0};
	struct config *c = NULL;

	if (config_parse(name, text, strlen(text), &problems, &c) != 0)
		fail_msg("%.*s", (int)problems.size, (char *)problems.data);
	buf_done(&problems);
	return c;
}

struct listing {
	struct buf text; /* as a file */
	size_t n;
	char section[160];
};

static int put_line(void *userdata, const struct config_shown *k)
{
	struct listing *l = userdata;
	char section[160];

	(void)snprintf(section, sizeof(section), k->name[0] ? "[%s \"%s\"]" : "[%s]", k->section,
		       k->name);
	if (!streq(section, l->section))
		buf_printf(&l->text, "%s\n", section);
	memcpy(l->section, section, sizeof(section));
	if (k->value[0])
		buf_printf(&l->text, "%s = %s\n", k->key, k->value);
	l->n++;
	return 0;
}

static char *listing_of(const struct config *c, size_t *ret_n)
{
	struct listing l = {0};

	assert_int_equal(config_show(c, put_line, &l), 0);
	buf_u8(&l.text, 0);
	assert_false(l.text.failed);
	*ret_n = l.n;
	return (char *)l.text.data;
}

static void shown_and_set_again(void **state)
{
	_cleanup_(config_freep) struct config *c = parse("f", everything), *again = NULL;
	_cleanup_(freep) char *text = NULL, *text_again = NULL;
	size_t n, n_keys, n_of[3] = {0};
	const struct config_key *keys = config_keys(&n_keys);

	text = listing_of(c, &n);
	for (size_t i = 0; i < n_keys; i++)
		n_of[keys[i].scope]++;
	assert_int_equal(n, n_of[CONFIG_SCOPE_CONFIG] + 2 * n_of[CONFIG_SCOPE_SINK] +
				    n_of[CONFIG_SCOPE_DEVICE]);
	assert_memory_equal(text, "[features]\nimmediate = yes\nqueue = no\n", 38);
	again = parse("g", text);
	text_again = listing_of(again, &n);
	assert_string_equal(text, text_again);
	assert_int_equal(again->tail_size, 65537);
	assert_int_equal(again->immediate_retry_delays[1], 1500 * USEC_PER_MSEC);
	assert_int_equal(again->handles.n, 2);
	assert_int_equal(again->devices[0].kinds, c->devices[0].kinds);
	assert_string_equal(again->sinks[1].proxy, "socks5h://p.example:1080");
}

struct question {
	const char *section, *name, *key, *file;
	unsigned line;
	bool found;
};

static int look_for(void *userdata, const struct config_shown *k)
{
	struct question *q = userdata;

	if (!streq(k->section, q->section) || !streq(k->name, q->name) || !streq(k->key, q->key))
		return 0;
	q->found = true;
	if (!q->file != !k->file || (q->file && (!streq(k->file, q->file) || k->line != q->line)))
		fail_msg("[%s %s] %s is from %s:%u", k->section, k->name, k->key,
			 k->file ? k->file : "nowhere", k->line);
	return 0;
}

static void is_from(const struct config *c, const char *section, const char *name, const char *key,
		    const char *file, unsigned line)
{
	struct question q = {section, name, key, file, line, false};

	assert_int_equal(config_show(c, look_for, &q), 0);
	assert_true(q.found);
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void where_it_was_set(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	char dir[] = "/tmp/vitald-show-XXXXXX", file[64], drop_in[80], command[96];
	struct buf problems = {0};

	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/v.conf", dir);
	put_file(file, everything);
	(void)snprintf(drop_in, sizeof(drop_in), "%s.d", file);
	assert_int_equal(mkdir(drop_in, 0700), 0);
	(void)snprintf(drop_in, sizeof(drop_in), "%s.d/50-mine.conf", file);
	put_file(drop_in, "# mine\n\n[sink \"b\"]\nrequired = yes\n[sync]\nlinger = 1s\n"
			  "[device \"00:11:22:33:44:55\"]\nname = Ben\n");
	assert_int_equal(config_load(file, &problems, &c), 0);
	buf_done(&problems);
	is_from(c, "daemon", "", "gateway", file, 3);
	is_from(c, "daemon", "", "runtime_dir", NULL, 0);
	is_from(c, "sync", "", "linger", drop_in, 6);
	is_from(c, "sync", "", "lazy_commit", file, 14);
	is_from(c, "sink", "a", "url", file, 22);
	is_from(c, "sink", "a", "required", NULL, 0);
	is_from(c, "sink", "b", "url", file, 27);
	is_from(c, "sink", "b", "required", drop_in, 4);
	is_from(c, "device", "a0:b1:c2:d3:e4:f5", "streams", file, 32);
	is_from(c, "device", "00:11:22:33:44:55", "name", drop_in, 8);
	is_from(c, "features", "", "queue", file, 18);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

static int end_it(void *userdata, const struct config_shown *k)
{
	return ++*(int *)userdata == 3 ? -ENOMEM : 0;
}

static void ends_when_told(void **state)
{
	_cleanup_(config_freep) struct config *c = parse("f", "");
	struct config by_hand = *c;
	int n = 0;

	assert_int_equal(config_show(c, end_it, &n), -ENOMEM);
	assert_int_equal(n, 3);
	by_hand.origins = NULL; /* as tests make them: everything is a default */
	is_from(&by_hand, "sync", "", "linger", NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shown_and_set_again),
		cmocka_unit_test(where_it_was_set),
		cmocka_unit_test(ends_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

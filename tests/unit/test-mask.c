/*
 * ctl/mask: whose it is goes, in every way that it is written in; what is needed to follow it stays; and nothing
 * that was not meant is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/mask.c" /* vitalctl's files are in no library */

#define UUID_OF_STREAM "8e03978e-40d5-53e8-bc93-6894a57f9324"

struct world {
	struct mask *mask;
	char text[8][2048];
	size_t n;
};

static int make_mask(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(mask_new(false, &w->mask), 0);
	*state = w;
	return 0;
}

static int free_mask(void **state)
{
	struct world *w = *state;

	w->mask = mask_free(w->mask);
	free(w);
	return 0;
}

#define test(f) cmocka_unit_test_setup_teardown(f, make_mask, free_mask)

/* Valid until the eighth after it. The input ends where its memory does. */
static const char *masked(struct world *w, const char *text)
{
	size_t size = strlen(text);
	char *exact = malloc(size ? size : 1), *ret = w->text[w->n++ % ARRAY_SIZE(w->text)];
	struct buf out = {0};

	assert_non_null(exact);
	memcpy(exact, text, size);
	mask_text(w->mask, exact, size, &out);
	assert_false(out.failed);
	assert_true(out.size < sizeof(w->text[0]));
	if (out.size)
		memcpy(ret, out.data, out.size);
	ret[out.size] = '\0';
	buf_done(&out);
	free(exact);
	return ret;
}

/* "device-" and six digits: whether that is what `s` begins with. */
static void assert_is_name(const char *s, const char *kind)
{
	size_t n = strlen(kind);

	if (strncmp(s, kind, n) != 0 || s[n] != '-' || strspn(s + n + 1, "0123456789abcdef") != 6)
		fail_msg("\"%s\" is no %s", s, kind);
}

static void an_address_is_the_same_in_every_spelling(void **state)
{
	static const char *const spellings[] = {"C0:9E:13:02:FF:0A", "c0-9e-13-02-ff-0a",
						"C0_9E_13_02_FF_0A", "c09e1302ff0a",
						"C09E1302FF0A"};
	struct world *w = *state;
	char name[32], path[80];

	(void)snprintf(name, sizeof(name), "%s", masked(w, "c0:9e:13:02:ff:0a"));
	assert_is_name(name, "device");
	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
		assert_string_equal(masked(w, spellings[i]), name);
	(void)snprintf(path, sizeof(path), "/org/bluez/hci0/dev_%s/service0010", name);
	assert_string_equal(masked(w, "/org/bluez/hci0/dev_C0_9E_13_02_FF_0A/service0010"), path);
	(void)snprintf(path, sizeof(path), "x%s%s.", name, name);
	assert_string_equal(masked(w, "xc0:9e:13:02:ff:0ac0:9e:13:02:ff:0a."), path);
	assert_string_not_equal(masked(w, "c0:9e:13:02:ff:0b"), name);
}

static void what_is_no_address_stays(void **state)
{
	static const char *const texts[] = {"2026-03-01T12:30:00+0000",
					    "123456789012 bytes",
					    "c0:9e:13:02:ff",
					    "c0:9e:13:02:ff:",
					    "c0:9e_13:02:ff:0a",
					    "0123456789abcdef0123456789abcdef",
					    "deadbeefcafe0",
					    "2a37 at 0x0010",
					    "",
					    "a",
					    "g0:9e:13:02:ff:0a"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_string_equal(masked(w, texts[i]), texts[i]);
}

static void two_reports_say_nothing_about_each_other(void **state)
{
	struct world *w = *state;
	_cleanup_(mask_freep) struct mask *other = NULL;
	struct buf out = {0};

	assert_int_equal(mask_new(false, &other), 0);
	mask_text(other, "c0:9e:13:02:ff:0a", 17, &out);
	assert_int_equal(out.size, strlen("device-123456"));
	assert_memory_not_equal(out.data, masked(w, "c0:9e:13:02:ff:0a"), out.size);
	buf_done(&out);
}

static void known_words_go_in_any_case_and_anywhere(void **state)
{
	struct world *w = *state;
	char name[32], text[128];

	assert_int_equal(mask_name(w->mask, "name", "Anna's strap"), 0);
	assert_int_equal(mask_name(w->mask, "subject", "anna"), 0);
	assert_int_equal(mask_name(w->mask, "subject", "ANNA"), 0);
	assert_int_equal(mask_name(w->mask, "subject", ""), 0);
	(void)snprintf(name, sizeof(name), "%s", masked(w, "Anna"));
	assert_is_name(name, "subject");
	(void)snprintf(text, sizeof(text), "/data/%s_ecg, x%sx", name, name);
	assert_string_equal(masked(w, "/data/ANNA_ecg, xannax"), text);
	assert_is_name(masked(w, "ANNA'S STRAP"), "name"); /* the longest, not the subject in it */
}

static void short_words_are_words(void **state)
{
	struct world *w = *state;

	assert_int_equal(mask_name(w->mask, "subject", "7"), 0);
	assert_int_equal(mask_name(w->mask, "subject", "u-1"), 0);
	assert_string_equal(masked(w, "17 71 cu-12 7x"), "17 71 cu-12 7x");
	assert_is_name(masked(w, "7"), "subject");
	assert_is_name(masked(w, "u-1"), "subject");
	assert_is_name(masked(w, "(7, u-1)") + 1, "subject");
	assert_null(strstr(masked(w, "(7, u-1)"), "u-1"));
}

static void ids_go_but_for_those_of_bluetooth(void **state)
{
	struct world *w = *state;

	assert_is_name(masked(w, UUID_OF_STREAM), "id");
	assert_string_equal(masked(w, "00002A37-0000-1000-8000-00805f9b34fb"),
			    "00002A37-0000-1000-8000-00805f9b34fb");
	assert_is_name(masked(w, "12002a37-0000-1000-8000-00805f9b34fb"), "id");
}

static void urls_are_bare(void **state)
{
	static const char *const texts[][2] = {
		{"https://user:word@host.example:8443/in?key=1#x, then",
		 "https://host.example:8443/in then"},
		{"\"https://a@b@host/?k\"", "\"https://host/\""},
		{"socks5h://u@proxy:1 https://host/a@b", "socks5h://proxy:1 https://host/a@b"},
		{"https://host?k=\"v\"", "https://host\"v\""},
		{"://", "://"},
		{"what? a#b", "what? a#b"}};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_string_equal(masked(w, texts[i][0]), texts[i][1]);
}

static void readings_go(void **state)
{
	static const char *const texts[][2] = {
		{"heart at 62 bpm", "heart at (left out) bpm"},
		{"bpm 300", "bpm (left out)"},
		{"\"bpm\": 61.5,", "\"bpm\": (left out),"},
		{"SpO2 97 %, 14 /min", "SpO2 (left out) %, (left out) /min"},
		{"12 batches, 3 min, rate 5", "12 batches, 3 min, rate 5"},
		{"the last because: low 40; they are kept in quarantine",
		 "the last because: (left out); they are kept in quarantine"},
		{"the last because: low 40\nnext", "the last because: (left out)\nnext"}};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_string_equal(masked(w, texts[i][0]), texts[i][1]);
}

static void a_journal_teaches_names(void **state)
{
	static const char journal[] = "c0:9e:13:02:ff:0a (Berta (new)) is connected\n"
				      "c0:9e:13:02:ff:0b (Carl) went\n"
				      "c0:9e:13:02:ff:0c (";
	struct world *w = *state;

	assert_int_equal(mask_learn(w->mask, journal, sizeof(journal) - 1), 0);
	assert_is_name(masked(w, "Berta (new)"), "name");
	assert_string_equal(masked(w, "Carl"), "Carl");
}

static void a_full_one_keeps_names_and_no_secret(void **state)
{
	struct world *w = *state;

	w->mask = mask_free(w->mask);
	assert_int_equal(mask_new(true, &w->mask), 0);
	assert_int_equal(mask_name(w->mask, "subject", "anna"), 0);
	assert_int_equal(mask_learn(w->mask, "c0:9e:13:02:ff:0a (Berta) is x", 31), 0);
	assert_int_equal(mask_secret(w->mask, "s3cret-token"), 0);
	assert_string_equal(masked(w, "anna Berta c0:9e:13:02:ff:0a " UUID_OF_STREAM),
			    "anna Berta c0:9e:13:02:ff:0a " UUID_OF_STREAM);
	assert_string_equal(masked(w, "Bearer s3cret-token, 62 bpm"),
			    "Bearer (left out), (left out) bpm");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(an_address_is_the_same_in_every_spelling),
		test(what_is_no_address_stays),
		test(two_reports_say_nothing_about_each_other),
		test(known_words_go_in_any_case_and_anywhere),
		test(short_words_are_words),
		test(ids_go_but_for_those_of_bluetooth),
		test(urls_are_bare),
		test(readings_go),
		test(a_journal_teaches_names),
		test(a_full_one_keeps_names_and_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

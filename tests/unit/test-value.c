/* model/value: every way to write a value, and the ways that must not pass for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/value.h"

static void reads_durations(void **state)
{
	static const struct {
		const char *text;
		usec_t usec;
	} good[] = {
		{"0", 0},	    {"10", 10000000},	  {"250ms", 250000},
		{"10s", 10000000},  {"10 s", 10000000},	  {"2min", 120000000},
		{"1h", 3600000000}, {"7d", 604800000000}, {"36525d", UINT64_C(3155760000000000)}};
	static const char *const bad[] = {"",
					  "s",
					  "-1",
					  "+1",
					  "1.5s",
					  "1O s",
					  "10m",
					  "1 s x",
					  "1w",
					  "1us",
					  "1S",
					  "36526d",
					  " 1",
					  "0x10",
					  "18446744073709551616",
					  "99999999999999999999999"};
	usec_t v = 42;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(value_duration(good[i].text, &v));
		assert_int_equal(v, good[i].usec);
	}
	v = 42;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(value_duration(bad[i], &v));
	assert_int_equal(v, 42);
}

static void reads_sizes(void **state)
{
	uint64_t v;

	assert_true(value_size("10000", &v) && v == 10000);
	assert_true(value_size("256K", &v) && v == 262144);
	assert_true(value_size("4M", &v) && v == 4194304);
	assert_true(value_size("2G", &v) && v == 2147483648);
	assert_true(value_size("1T", &v) && v == UINT64_C(1) << 40);
	assert_false(value_size("2g", &v));
	assert_false(value_size("2GB", &v));
	assert_false(value_size("-1", &v));
	assert_false(value_size("18446744073709551615K", &v));
	assert_false(value_size("", &v));
}

static void reads_switches(void **state)
{
	bool v = false;

	assert_true(value_boolean("yes", &v) && v);
	assert_true(value_boolean("no", &v) && !v);
	assert_true(value_boolean("True", &v) && v);
	assert_true(value_boolean("false", &v) && !v);
	assert_true(value_boolean("ON", &v) && v);
	assert_true(value_boolean("off", &v) && !v);
	assert_false(value_boolean("1", &v));
	assert_false(value_boolean("yess", &v));
	assert_false(value_boolean("", &v));
}

static void reads_addresses(void **state)
{
	char a[DEVICE_ADDRESS_SIZE] = "";

	assert_true(value_address("A0:B1:c2:d3:E4:f5", a));
	assert_string_equal(a, "a0:b1:c2:d3:e4:f5");
	assert_false(value_address("a0:b1:c2:d3:e4", a));
	assert_false(value_address("a0-b1-c2-d3-e4-f5", a));
	assert_false(value_address("g0:b1:c2:d3:e4:f5", a));
	assert_false(value_address("a0:b1:c2:d3:e4:f5:", a));
	assert_false(value_address("", a));
}

static void judges_urls(void **state)
{
	static const char *const good[] = {"https://example.org", "https://example.org:8443/a/b",
					   "HTTPS://EXAMPLE.org", "https://[2001:db8::1]:443/x",
					   "https://192.0.2.1",	  "http://127.0.0.1:8080",
					   "http://127.9.9.9/",	  "http://[::1]:80",
					   "http://localhost"};
	static const char *const bad[] = {"",
					  "example.org",
					  "ftp://example.org",
					  "http://example.org",
					  "http://127.0.0.1.example.org",
					  "http://127.1",
					  "http://localhost.example.org",
					  "http://[::2]",
					  "https://",
					  "https:///path",
					  "https://user:secret@example.org",
					  "http://127.0.0.1@example.org/",
					  "https://example.org:0",
					  "https://example.org:65536",
					  "https://example.org:",
					  "https://example.org/?a=b",
					  "https://example.org/#a",
					  "https://example.org/a b",
					  "https://exam ple.org",
					  "https://[::1"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_null(value_url_problem(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *problem = value_url_problem(bad[i]);

		assert_non_null(problem);
		assert_null(strstr(problem, "secret"));
	}
}

static void knows_this_machine(void **state)
{
	assert_true(value_url_is_here("http://127.0.0.1:8080/v1"));
	assert_true(value_url_is_here("https://[::1]"));
	assert_true(value_url_is_here("socks5h://localhost:1080"));
	assert_false(value_url_is_here("https://example.org"));
	assert_false(value_url_is_here("https://localhost.example.org"));
	assert_false(value_url_is_here("https://10.0.0.1:127"));
	assert_false(value_url_is_here("127.0.0.1"));
	assert_false(value_url_is_here("://"));
}

static void judges_proxies(void **state)
{
	assert_null(value_proxy_problem("http://proxy.example:3128"));
	assert_null(value_proxy_problem("socks5h://127.0.0.1:1080"));
	assert_null(value_proxy_problem("https://[::1]:1"));
	assert_non_null(value_proxy_problem("proxy:3128"));
	assert_non_null(value_proxy_problem("socks4://proxy:1"));
	assert_non_null(value_proxy_problem("http://a:b@proxy:1"));
	assert_non_null(value_proxy_problem("http://proxy:1/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_durations),    cmocka_unit_test(reads_sizes),
		cmocka_unit_test(reads_switches),     cmocka_unit_test(reads_addresses),
		cmocka_unit_test(knows_this_machine), cmocka_unit_test(judges_urls),
		cmocka_unit_test(judges_proxies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which spellings are the same address, and that another one waits until its owner says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/address.h"

#include <sqlite3.h>

static void spellings(void **state)
{
	static const char *const same[][2] = {
		{"https://Vitals.Example.org", "https://vitals.example.org:443"},
		{"https://a.org/in/", "https://a.org:443/in"},
		{"HTTP://LocalHost:8080", "http://localhost:8080"},
		{"http://[::1]", "http://[::1]:80"},
		{"http://[::1]:9/x", "http://[::1]:9/x"},
		{"https://me:secret@a.org/In", "https://a.org:443/In"},
		{"https://a.org/in?key=1", "https://a.org:443/in"},
	};
	char long_url[2 * ADDRESS_SIZE] = "https://a.org/";

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		char address[ADDRESS_SIZE];

		address_normal(same[i][0], address);
		assert_string_equal(address, same[i][1]);
		address_normal(same[i][1], address);
		assert_string_equal(address, same[i][1]);
	}
	memset(long_url + strlen(long_url), 'x', sizeof(long_url) - 1 - strlen(long_url));
	long_url[sizeof(long_url) - 1] = '\0';
	{
		char address[ADDRESS_SIZE];

		address_normal(long_url, address);
		assert_int_equal(strlen(address), ADDRESS_SIZE - 1);
	}
}

static void another_address(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	char known[ADDRESS_SIZE];
	uint32_t sink;

	assert_int_equal(register_sink(s, "home", true, false, &sink), 0);
	assert_int_equal(store_sink_address(s, sink, "https://a.org", known), 0);
	assert_int_equal(store_sink_address(s, sink, "https://A.org:443/", known), 0);
	assert_int_equal(store_sink_address(s, sink, "https://b.org", known), STORE_E_OTHER);
	assert_string_equal(known, "https://a.org:443");
	store_close(s);

	s = open_store(p);
	assert_int_equal(register_sink(s, "home", false, false, &sink),
			 0); /* its row is written anew */
	assert_int_equal(store_sink_address(s, sink, "https://b.org", known), STORE_E_OTHER);
	assert_int_equal(store_sink_address(s, sink, "http://a.org:443", known), STORE_E_OTHER);
	assert_int_equal(store_sink_address(s, sink, "https://a.org/v2", known), STORE_E_OTHER);
	assert_int_equal(store_sink_moved(s, sink, "https://b.org"), 0);
	assert_int_equal(store_sink_address(s, sink, "https://b.org", known), 0);
	store_close(s);

	s = open_store(p);
	assert_int_equal(register_sink(s, "home", true, false, &sink), 0);
	assert_int_equal(store_sink_address(s, sink, "https://b.org", known), 0);
	assert_int_equal(store_sink_address(s, sink, "https://a.org", known), STORE_E_OTHER);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings),
		store_test(another_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What names a machine: the board before the system, nothing for words that name none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void put(const char *name, const char *content, size_t size)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "mkdir -p \"$(dirname '%s%s')\"", root, name);
	assert_int_equal(system(path), 0);
	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
	strcpy(root, "/tmp/vitald-machine-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void nothing_to_read(void **state)
{
	char here[MACHINE_SIZE];

	machine_read(root, here);
	assert_string_equal(here, "");
}

static void a_board_and_a_system(void **state)
{
	char here[MACHINE_SIZE], other[MACHINE_SIZE];

	put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 33);
	machine_read(root, here);
	assert_memory_equal(here, "id:", 3);
	assert_int_equal(strlen(here), 3 + 32);
	assert_null(strstr(here, "0123456789abcdef"));			/* a hash, not the name */
	put("/proc/device-tree/serial-number", "10000000abcdef01", 17); /* with its NUL */
	machine_read(root, here);
	assert_memory_equal(here, "board:", 6);
	assert_int_equal(strlen(here), 6 + 32 + 1 + 3 + 32);
	put("/sys/class/dmi/id/board_serial", "X1234567\n", 9); /* the device tree goes first */
	machine_read(root, other);
	assert_string_equal(here, other);
	put("/proc/device-tree/serial-number", "10000000abcdef02", 17);
	machine_read(root, other);
	assert_string_not_equal(here, other);
	assert_string_equal(strstr(here, " id:"), strstr(other, " id:"));
}

static void words_that_name_nothing(void **state)
{
	static const char *const serials[] = {
		"",	      "   \n", "None\n", "To Be Filled By O.E.M.\n", "0000000000000000",
		"FFFFFFFF\n", "abc\n"};
	char here[MACHINE_SIZE];

	for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]); i++) {
		put("/sys/class/dmi/id/board_serial", serials[i], strlen(serials[i]));
		machine_read(root, here);
		if (here[0])
			fail_msg("\"%s\" names a machine", serials[i]);
	}
	put("/sys/class/dmi/id/board_serial", " X1234 \n", 8);
	machine_read(root, here);
	assert_memory_equal(here, "board:", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_to_read, begin, end),
		cmocka_unit_test_setup_teardown(a_board_and_a_system, begin, end),
		cmocka_unit_test_setup_teardown(words_that_name_nothing, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* util/ini: no input may crash it, and what it hands out lies within its limits. */
#include "util/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(ini_freep) struct ini *ini = NULL;
	struct buf problems = {0};
	size_t n;

	if (ini_parse("f", data, size, &problems, &ini) == 0) {
		const struct ini_entry *e = ini_entries(ini, &n);

		assert(n <= INI_ENTRIES_MAX);
		for (size_t i = 0; i < n; i++) {
			assert(e[i].section && e[i].line > 0);
			assert(!e[i].arg || (*e[i].arg && strlen(e[i].arg) <= INI_ARG_MAX));
			assert(!e[i].key || (*e[i].key && strlen(e[i].key) <= INI_KEY_MAX));
			assert(!e[i].key || strlen(e[i].value) <= INI_LINE_MAX);
		}
	}
	buf_done(&problems);
	return 0;
}

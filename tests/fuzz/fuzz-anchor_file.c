/* model/anchor_file: no input may crash it; what it hands out is whole, and a refusal has one line. */
#include "model/anchor_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(anchor_file_freep) struct anchor_file *file = NULL;
	struct buf problem = {0};
	int r = anchor_file_parse("f", data, size, &problem, &file);

	if (r == 0) {
		assert(problem.size == 0 && file->n <= ANCHOR_FILE_ENTRIES);
		for (size_t i = 0; i < file->n; i++)
			assert(file->entries[i].sink[0] && file->entries[i].line > 0 &&
			       strlen(file->entries[i].sink) < sizeof(file->entries[i].sink));
	} else {
		assert(r == ANCHOR_FILE_E_BAD && !file && problem.size > 4);
		assert(memchr(problem.data, '\n', problem.size) == problem.data + problem.size - 1);
	}
	buf_done(&problem);
	return 0;
}

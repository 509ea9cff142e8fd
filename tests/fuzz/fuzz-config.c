/*
 * model/config: no text may crash it; either a config that makes sense comes out, or mistakes do.
 */
#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct buf problems = {0};
	int r = config_parse("f", data, size, &problems, &c);

	assert(r < 0 || (r == 0) == (problems.size == 0));
	assert((r == 0) == (c != NULL));
	if (c) {
		assert(c->gateway && c->state_dir[0] == '/' && c->runtime_dir[0] == '/' &&
		       c->socket);
		assert(c->n_immediate_retry_delays > 0 && c->backoff_min <= c->backoff_max);
		for (size_t i = 0; i < c->n_sinks; i++)
			assert(c->sinks[i].name && c->sinks[i].url);
		for (size_t i = 0; i < c->n_devices; i++)
			assert(config_device_find(c, c->devices[i].address) &&
			       c->devices[i].subject);
	}
	buf_done(&problems);
	return 0;
}

/*
 * Loads the config for whichever program starts, and says its mistakes once, a line each. Apart
 * from main.c, so that tests which join the rooms themselves can link it.
 */
#include "daemon.h"

#include "model/catalog.h"
#include "model/config.h"
#include "util/log.h"

int load_config(const char *path, struct config **ret)
{
	struct buf problems = {0};
	int r;

	r = config_load(path, &problems, ret);
	if (r == CONFIG_E_BAD) {
		char *line, *rest = NULL;

		buf_u8(&problems, 0);
		for (line = strtok_r((char *)problems.data, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest))
			log_event(LOG_ERR, CATALOG_CONFIG_BAD, NULL, "%s", line);
	} else if (r < 0) {
		log_error("Cannot read the config %s: %s", path, strerror(-r));
	}
	buf_done(&problems);
	return r;
}

/*
 * Whoever opens the store first finds what the last owner left in the tail, or that it is of another
 * store, and that may be a drain as well as the daemon: who comes later finds nothing of it any more.
 */
#include "opening.h"

#include "model/catalog.h"
#include "model/config.h"
#include "renew.h"
#include "util/log.h"

struct store_options opening_options(const struct config *config, const char *role,
				     const char *machine)
{
	return (struct store_options){.state_dir = config->state_dir,
				      .runtime_dir = config->runtime_dir,
				      .role = role,
				      .tail_size = config->tail_size,
				      .durability_window = config->durability_window,
				      .lazy_commit = config->lazy_commit,
				      .max_size = config->max_size,
				      .max_batches = config->max_batches,
				      .machine = machine};
}

void opening_say(const struct store_opening *o, const struct config *config)
{
	if (o->tail == TAIL_RECOVERED)
		log_event(LOG_NOTICE, CATALOG_TAIL_RECOVERED, NULL,
			  "%llu records of the last run were in the tail; they are on the disk now",
			  (unsigned long long)o->n_recovered);
	else if (o->tail == TAIL_LOST)
		log_event(LOG_WARNING, CATALOG_TAIL_LOST, NULL,
			  "The power went: what was younger than %llu ms and not confirmed is lost",
			  (unsigned long long)(config->durability_window / 1000));
	else if (o->tail == TAIL_FOREIGN)
		log_event(LOG_WARNING, CATALOG_TAIL_FOREIGN, NULL,
			  "The tail in %s is not of this store; it was set aside as tail.foreign",
			  config->runtime_dir);
	if (o->set_aside[0])
		log_event(LOG_ERR, CATALOG_STORE_DAMAGED, NULL,
			  "The store was damaged%s%s; it is kept in %s/%s, a new one was begun",
			  o->damage[0] ? ": " : "", o->damage, config->state_dir, o->set_aside);
	if (o->n_torn)
		log_event(LOG_ERR, CATALOG_TAIL_FOREIGN, NULL,
			  "The tail is damaged; what was readable is recovered, the rest is set "
			  "aside "
			  "as tail.foreign");
	renew_say_opening(o);
}

/* The words for sync events. */
#include "model/event.h"

static const char *const names[] = {
	[SYNC_IMMEDIATE_SUCCESS] = "immediate_success",
	[SYNC_IMMEDIATE_FAILED] = "immediate_failed",
	[SYNC_QUEUED] = "queued",
	[SYNC_BACKGROUND_SUCCESS] = "background_success",
	[SYNC_BACKGROUND_FAILED] = "background_failed",
	[SYNC_QUARANTINED] = "quarantined",
	[SYNC_RECONCILE] = "reconcile",
};

const char *sync_event_type_name(unsigned type)
{
	return type < ARRAY_SIZE(names) && names[type] ? names[type] : "unknown";
}

unsigned sync_event_type_parse(const char *name)
{
	for (unsigned type = 1; type < ARRAY_SIZE(names); type++)
		if (streq(names[type], name))
			return type;
	return 0;
}

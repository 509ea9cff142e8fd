/* The words for sync events. */
#include "model/event.h"

const char *sync_event_type_name(unsigned type)
{
	static const char *const names[] = {
		[SYNC_IMMEDIATE_SUCCESS] = "immediate_success",
		[SYNC_IMMEDIATE_FAILED] = "immediate_failed",
		[SYNC_QUEUED] = "queued",
		[SYNC_BACKGROUND_SUCCESS] = "background_success",
		[SYNC_BACKGROUND_FAILED] = "background_failed",
		[SYNC_QUARANTINED] = "quarantined",
		[SYNC_RECONCILE] = "reconcile",
	};

	return type < ARRAY_SIZE(names) && names[type] ? names[type] : "unknown";
}

/* Chooses the source that the owner wants, and passes calls on to it. */
#include "source/source.h"

#define SIMULATOR_RETRY (500 * USEC_PER_MSEC)

const char *rung_name(enum rung r)
{
	static const char *const names[RUNG_MAX_] = {
		[RUNG_RESUBSCRIBE] = "subscribe again",
		[RUNG_RECONNECT] = "reconnect",
		[RUNG_UNBOND] = "remove the bond and pair again",
		[RUNG_POWER_CYCLE] = "power cycle of the adapter",
		[RUNG_RESTART] = "restart of bluetoothd",
	};

	return names[r];
}

struct source *source_free(struct source *s)
{
	if (s)
		s->operations->free(s);
	return NULL;
}

int source_new(sd_event *event, const struct config *config, struct profiles profiles,
	       const struct source_handler *handler, struct source **ret)
{
	switch (config->source) {
	case CONFIG_SOURCE_SIMULATE:
		return source_simulate_new(event, config->socket, SIMULATOR_RETRY, handler, ret);
	case CONFIG_SOURCE_L2CAP: return source_l2cap_new(event, config, profiles, handler, ret);
	case CONFIG_SOURCE_REPLAY: return source_replay_new(event, config, handler, ret);
	case CONFIG_SOURCE_BLUEZ: return source_bluez_new(event, config, profiles, handler, ret);
	case CONFIG_SOURCE_NONE: break;
	}
	*ret = NULL;
	return 0;
}

void source_set_config(struct source *s, const struct config *config)
{
	if (s && s->operations->set_config)
		s->operations->set_config(s, config);
}

bool source_differs(const struct config *a, const struct config *b)
{
	return a->source != b->source || !streq(a->socket, b->socket) ||
	       !streq(a->file ? a->file : "", b->file ? b->file : "") ||
	       a->replay_fast != b->replay_fast ||
	       memcmp(&a->handles, &b->handles, sizeof(a->handles)) != 0;
}

unsigned source_wanted(const struct config *config, const char *address)
{
	const struct config_device *device = config_device_find(config, address);

	/* What a memory fills are the gaps of a heart's stream. */
	if (device && device->backfill && device->kinds & 1U << KIND_HEART_RATE)
		return device->kinds | RECORDER_WANTED;
	if (device)
		return device->kinds;
	return config->auto_enroll ? CONFIG_KINDS_DEFAULT : 0;
}

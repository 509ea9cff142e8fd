/*
 * Pairing needs an agent, even Just Works. Ours says yes to wearables that are wanted, and no to
 * everybody else: a stranger who asks to pair with this hub is nobody's patient. It can show and
 * type nothing (NoInputNoOutput), so whatever needs a PIN is refused.
 *
 * It becomes the default agent, because pairing that the wearable begins is asked of that one. Who
 * registers none gets no pairing at all: bluetoothd then rejects.
 */
#include "source/bluez_agent.h"

#include "source/bluez_call.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/quota.h"

#define AGENT_PATH   "/org/vitald/agent"
#define MANAGER_PATH "/org/bluez"
#define MANAGER	     "org.bluez.AgentManager1"
#define REJECTED     "org.bluez.Error.Rejected"
#define CALL_TIMEOUT (10 * USEC_PER_SEC)

struct agent {
	sd_bus *bus;
	struct agent_handler handler;
	sd_bus_slot *vtable;
	sd_bus_slot *call;
	struct quota lines; /* of the journal, for strangers, who may ask as often as they like */
};

static bool from_bluetoothd(const struct agent *a, sd_bus_message *m)
{
	const char *sender = sd_bus_message_get_sender(m);

	return sender && a->handler.is_bluetoothd(a->handler.userdata, sender);
}

static int refuse(struct agent *a, sd_bus_message *m, const char *path)
{
	enum quota_answer may = quota_take(&a->lines, clock_boot_usec());

	if (may != QUOTA_NO)
		log_notice("A device that is not configured asked to pair: %s; refused%s", path,
			   quota_words(may));
	return sd_bus_reply_method_errorf(m, REJECTED, "not a device of this hub");
}

/* Requests that begin with the device, and that Just Works can be answered with. */
static int on_request(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct agent *a = userdata;
	const char *path;
	int r = sd_bus_message_read_basic(m, 'o', &path);

	if (r < 0)
		return r;
	if (!from_bluetoothd(a, m))
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED,
						  "only bluetoothd may ask this");
	if (!a->handler.wanted(a->handler.userdata, path))
		return refuse(a, m, path);
	return sd_bus_reply_method_return(m, NULL);
}

static int on_secret(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return sd_bus_reply_method_errorf(m, REJECTED, "this hub has no keys and no display");
}

static int on_note(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Release", "", "", on_note, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("RequestPinCode", "o", "s", on_secret, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("DisplayPinCode", "os", "", on_secret, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("RequestPasskey", "o", "u", on_secret, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("DisplayPasskey", "ouq", "", on_note, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("RequestConfirmation", "ou", "", on_request, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("RequestAuthorization", "o", "", on_request, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("AuthorizeService", "os", "", on_request, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Cancel", "", "", on_note, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static int on_default(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct agent *a = userdata;

	a->call = sd_bus_slot_unref(a->call);
	if (bluez_error(m, NULL) != BLUEZ_OK)
		log_notice("Another program answers pairing: %s", bluez_error_text(m));
	return 0;
}

static int on_registered(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct agent *a = userdata;
	enum bluez_error e = bluez_error(m, NULL);

	if (e != BLUEZ_OK && e != BLUEZ_ALREADY)
		log_warning("Wearables cannot be paired with: %s", bluez_error_text(m));
	else if (bluez_call(a->bus, &a->call, MANAGER_PATH, MANAGER, "RequestDefaultAgent",
			    CALL_TIMEOUT, on_default, a, "o", AGENT_PATH) < 0)
		log_warning("Wearables cannot be paired with: the bus does not take the call");
	return 0;
}

int agent_register(struct agent *a)
{
	return bluez_call(a->bus, &a->call, MANAGER_PATH, MANAGER, "RegisterAgent", CALL_TIMEOUT,
			  on_registered, a, "os", AGENT_PATH, "NoInputNoOutput");
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	sd_bus_slot_unref(a->call);
	sd_bus_slot_unref(a->vtable);
	sd_bus_unref(a->bus);
	free(a);
	return NULL;
}

int agent_new(sd_bus *bus, const struct agent_handler *handler, struct agent **ret)
{
	_cleanup_(agent_freep) struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->handler = *handler;
	a->bus = sd_bus_ref(bus);
	r = sd_bus_add_object_vtable(bus, &a->vtable, AGENT_PATH, "org.bluez.Agent1", vtable, a);
	if (r < 0)
		return r;
	*ret = TAKE(a);
	return 0;
}

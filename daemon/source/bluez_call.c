/*
 * One place that knows the names of bluetoothd's errors. bluez 5.66 has few: most of what goes
 * wrong is org.bluez.Error.Failed with a text, so the texts matter (src/error.c, src/device.c,
 * src/gatt-client.c): "Operation failed with ATT error: 0x0e", "le-connection-abort-by-local",
 * "Authentication Failed (0x05)", "Notify acquired". A text that is not known is only a failure.
 */
#include "source/bluez_call.h"

#include <stdarg.h>
#include <stdio.h>

enum { ATT_AUTHENTICATION = 0x05, ATT_KEY_SIZE = 0x0c, ATT_ENCRYPTION = 0x0f };

int bluez_send(sd_bus *bus, sd_bus_slot **slot, sd_bus_message *m, usec_t timeout,
	       bluez_answer *answer, void *userdata)
{
	*slot = sd_bus_slot_unref(*slot);
	return sd_bus_call_async(bus, slot, m, answer, userdata, timeout);
}

int bluez_call(sd_bus *bus, sd_bus_slot **slot, const char *path, const char *interface,
	       const char *method, usec_t timeout, bluez_answer *answer, void *userdata,
	       const char *format, ...)
{
	sd_bus_message *m = NULL;
	va_list ap;
	int r;

	*slot = sd_bus_slot_unref(*slot);
	r = sd_bus_message_new_method_call(bus, &m, BLUEZ_NAME, path, interface, method);
	if (r >= 0 && format) {
		va_start(ap, format);
		r = sd_bus_message_appendv(m, format, ap);
		va_end(ap);
	}
	if (r >= 0)
		r = bluez_send(bus, slot, m, timeout, answer, userdata);
	sd_bus_message_unref(m);
	return r;
}

static const struct {
	const char *name;
	enum bluez_error error;
} names[] = {
	{SD_BUS_ERROR_NO_REPLY, BLUEZ_TIMEOUT},
	{SD_BUS_ERROR_TIMEOUT, BLUEZ_TIMEOUT},
	{"org.freedesktop.DBus.Error.TimedOut", BLUEZ_ABSENT}, /* of its activation */
	{SD_BUS_ERROR_SERVICE_UNKNOWN, BLUEZ_ABSENT},
	{SD_BUS_ERROR_NAME_HAS_NO_OWNER, BLUEZ_ABSENT},
	{SD_BUS_ERROR_DISCONNECTED, BLUEZ_ABSENT},
	{SD_BUS_ERROR_ACCESS_DENIED, BLUEZ_DENIED},
	{SD_BUS_ERROR_UNKNOWN_OBJECT, BLUEZ_GONE},
	{SD_BUS_ERROR_UNKNOWN_METHOD, BLUEZ_GONE},
	{"org.bluez.Error.DoesNotExist", BLUEZ_GONE},
	{"org.bluez.Error.NotConnected", BLUEZ_GONE},
	{"org.bluez.Error.InProgress", BLUEZ_BUSY},
	{"org.bluez.Error.Busy", BLUEZ_BUSY},
	{"org.bluez.Error.AlreadyExists", BLUEZ_ALREADY},
	{"org.bluez.Error.AlreadyConnected", BLUEZ_ALREADY},
	{"org.bluez.Error.NotReady", BLUEZ_OFF},
	{"org.bluez.Error.Blocked", BLUEZ_BLOCKED},
	{"org.bluez.Error.AuthenticationFailed", BLUEZ_BOND},
	{"org.bluez.Error.AuthenticationRejected", BLUEZ_BOND},
	{"org.bluez.Error.AuthenticationCanceled", BLUEZ_BOND},
	{"org.bluez.Error.AuthenticationTimeout", BLUEZ_BOND},
	{"org.bluez.Error.NotPaired", BLUEZ_SECURITY},
	{"org.bluez.Error.NotAuthorized", BLUEZ_SECURITY},
	{"org.bluez.Error.NotPermitted", BLUEZ_REFUSED},
	{"org.bluez.Error.NotSupported", BLUEZ_REFUSED},
	{"org.bluez.Error.InvalidValueLength", BLUEZ_REFUSED},
};

static const struct {
	const char *text;
	enum bluez_error error;
} texts[] = {
	{"rfkill", BLUEZ_BLOCKED},     {"not-powered", BLUEZ_OFF},     {"key-missing", BLUEZ_BOND},
	{"ot paired", BLUEZ_SECURITY}, {"uthenticat", BLUEZ_SECURITY}, {"ncrypt", BLUEZ_SECURITY},
	{"ot connected", BLUEZ_GONE},  {"acquired", BLUEZ_BUSY},
};

static enum bluez_error by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(names[i].name, name))
			return names[i].error;
	if (strncmp(name, "org.freedesktop.systemd1.", 25) == 0 ||
	    strncmp(name, "org.freedesktop.DBus.Error.Spawn", 32) == 0)
		return BLUEZ_ABSENT;
	return BLUEZ_FAILED;
}

static enum bluez_error by_att(uint8_t att)
{
	if (att == ATT_AUTHENTICATION || att == ATT_KEY_SIZE || att == ATT_ENCRYPTION)
		return BLUEZ_SECURITY;
	return BLUEZ_REFUSED;
}

enum bluez_error bluez_error(sd_bus_message *m, uint8_t *ret_att)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	const char *text = e && e->message ? e->message : "", *att;
	enum bluez_error error;
	unsigned code = 0;

	if (ret_att)
		*ret_att = 0;
	if (!e)
		return BLUEZ_OK;
	att = strstr(text, "ATT error: 0x");
	if (att && sscanf(att + 13, "%2x", &code) == 1 && code > 0) {
		if (ret_att)
			*ret_att = (uint8_t)code;
		return by_att((uint8_t)code);
	}
	error = by_name(e->name);
	if (error != BLUEZ_FAILED && error != BLUEZ_REFUSED)
		return error;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strstr(text, texts[i].text))
			return texts[i].error;
	return error;
}

const char *bluez_error_text(sd_bus_message *m)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	if (!e)
		return "";
	return e->message && *e->message ? e->message : e->name;
}

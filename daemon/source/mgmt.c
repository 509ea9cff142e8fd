/*
 * From "which adapters are there?" to one that is on.
 *
 *	LIST -- indices --> LOOK at each -- ours, LE on, powered ----------> READY
 *	  ^                   |  ours, LE off ------> ENABLE LE --+            |
 *	  |                   |  ours, not powered -> POWER -----++-> READY    | it was switched off:
 *	  |                   |  none is ours                    |             v ENABLE, POWER again
 *	  +---- RETRY, or an adapter appears ---- STUCK <--------+ refused
 *
 * To look is free; to switch on needs CAP_NET_ADMIN. Without it an adapter that somebody else has
 * switched on (btmgmt, an init script) serves as well, and the kernel tells us when that happens.
 *
 * An adapter that goes away begins it all again. One command is under way at a time; an answer that
 * does not come in ANSWER_WAIT is a STUCK one, for the kernel answers at once, except for a
 * controller that has to be powered and does not react.
 */
#include "source/mgmt.h"

#include "util/bytes.h"

#include <stdio.h>

/* Commands and events; status codes. */
enum {
	COMMAND_INDEX_LIST = 0x0003,
	COMMAND_INFO = 0x0004,
	COMMAND_SET_POWERED = 0x0005,
	COMMAND_SET_LE = 0x000d,
	EVENT_COMPLETE = 0x0001, /* u16 command, u8 status, answer */
	EVENT_STATUS = 0x0002,	 /* u16 command, u8 status */
	EVENT_INDEX_ADDED = 0x0004,
	EVENT_INDEX_REMOVED = 0x0005,
	EVENT_NEW_SETTINGS = 0x0006, /* u32 */
	STATUS_REJECTED = 0x0b,
	STATUS_RFKILLED = 0x12,
	STATUS_PERMISSION_DENIED = 0x14,
	SETTING_POWERED = 1 << 0,
	SETTING_LE = 1 << 9,
	INDEX_NONE = 0xffff,
	ADAPTERS_MAX = 16, /* that are looked at */
	NAME_SIZE = 12,	   /* "hci65535" */
	ADDRESS_SIZE = 18,
};

#define ANSWER_WAIT (12 * USEC_PER_SEC) /* the kernel gives a controller 10 s to power up */
#define RETRY	    (10 * USEC_PER_SEC)

enum stage { LIST, LOOK, ENABLE, POWER, READY, STUCK };

struct mgmt {
	struct mgmt_handler handler;
	char wanted[ADDRESS_SIZE]; /* "": any */
	enum stage stage;
	unsigned command; /* under way; 0: none */
	uint16_t asked;	  /* its index */
	usec_t due;	  /* the answer, or the next try */
	uint16_t indices[ADAPTERS_MAX];
	size_t n_indices, looked;
	uint16_t index; /* ours, or INDEX_NONE */
	char name[NAME_SIZE], address[ADDRESS_SIZE];
	uint32_t settings;
	char problem[320];
};

static void send_command(struct mgmt *m, unsigned command, uint16_t index, const uint8_t *data,
			 size_t size, usec_t now)
{
	uint8_t message[6 + 1] = {(uint8_t)command, (uint8_t)(command >> 8), (uint8_t)index,
				  (uint8_t)(index >> 8), (uint8_t)size};

	assert(size <= 1);
	if (size)
		message[6] = data[0];
	m->command = command;
	m->asked = index;
	m->due = now + ANSWER_WAIT;
	m->handler.send(m->handler.userdata, message, 6 + size);
}

static void be_stuck(struct mgmt *m, usec_t now)
{
	m->stage = STUCK;
	m->command = 0;
	m->due = now + RETRY;
}

static void list(struct mgmt *m, usec_t now)
{
	m->stage = LIST;
	m->index = INDEX_NONE;
	m->name[0] = m->address[0] = '\0';
	send_command(m, COMMAND_INDEX_LIST, INDEX_NONE, NULL, 0, now);
}

static void none_found(struct mgmt *m, usec_t now)
{
	if (m->wanted[0])
		(void)snprintf(m->problem, sizeof(m->problem),
			       "this machine has no Bluetooth adapter %s that can do LE",
			       m->wanted);
	else
		(void)snprintf(m->problem, sizeof(m->problem),
			       "this machine has no Bluetooth adapter that can do LE");
	be_stuck(m, now);
}

static void look(struct mgmt *m, usec_t now)
{
	m->stage = LOOK;
	if (m->looked == m->n_indices)
		none_found(m, now);
	else
		send_command(m, COMMAND_INFO, m->indices[m->looked], NULL, 0, now);
}

/* Ours is known: what does it lack? */
static void bring_up(struct mgmt *m, usec_t now)
{
	static const uint8_t on = 1;

	if (!(m->settings & SETTING_LE)) {
		m->stage = ENABLE;
		send_command(m, COMMAND_SET_LE, m->index, &on, 1, now);
	} else if (!(m->settings & SETTING_POWERED)) {
		m->stage = POWER;
		send_command(m, COMMAND_SET_POWERED, m->index, &on, 1, now);
	} else {
		m->stage = READY;
		m->command = 0;
		m->due = USEC_INFINITY;
		m->problem[0] = '\0';
	}
}

static void refused(struct mgmt *m, unsigned status, usec_t now)
{
	const char *what = m->stage == ENABLE ? "LE of the adapter" : "the adapter";

	if (status == STATUS_PERMISSION_DENIED)
		(void)snprintf(
			m->problem, sizeof(m->problem),
			"%s %s is off, and switching it on needs CAP_NET_ADMIN: copy l2cap.conf "
			"from the share/vitald of this installation to "
			"/etc/systemd/system/vitald.service.d/ (see vitald.conf(5))",
			what, m->name);
	else if (status == STATUS_RFKILLED)
		(void)snprintf(m->problem, sizeof(m->problem),
			       "the adapter %s is blocked: rfkill unblock bluetooth", m->name);
	else
		(void)snprintf(m->problem, sizeof(m->problem),
			       "%s %s cannot be switched on (the kernel says 0x%02x)", what,
			       m->name, status);
	be_stuck(m, now);
}

static void on_list(struct mgmt *m, struct bytes *b, usec_t now)
{
	uint16_t n = bytes_le16(b);

	m->n_indices = m->looked = 0;
	for (unsigned i = 0; i < n && m->n_indices < ADAPTERS_MAX; i++) {
		uint16_t index = bytes_le16(b);

		if (!b->failed)
			m->indices[m->n_indices++] = index;
	}
	look(m, now);
}

static bool is_ours(const struct mgmt *m, uint32_t supported)
{
	if (m->wanted[0])
		return streq(m->wanted, m->name) || streq(m->wanted, m->address);
	return supported & SETTING_LE;
}

/* bdaddr, u8 version, u16 manufacturer, u32 supported, u32 current settings, ... */
static void on_info(struct mgmt *m, struct bytes *b, usec_t now)
{
	const uint8_t *a = bytes_take(b, 6);
	uint32_t supported;

	(void)bytes_take(b, 3);
	supported = bytes_le32(b);
	m->settings = bytes_le32(b);
	if (a && !b->failed) {
		(void)snprintf(m->name, sizeof(m->name), "hci%u", m->asked);
		(void)snprintf(m->address, sizeof(m->address), "%02x:%02x:%02x:%02x:%02x:%02x",
			       a[5], a[4], a[3], a[2], a[1], a[0]);
		if (is_ours(m, supported) && supported & SETTING_LE) {
			m->index = m->asked;
			bring_up(m, now);
			return;
		}
		m->name[0] = m->address[0] = '\0';
	}
	m->looked++;
	look(m, now);
}

static void on_answer(struct mgmt *m, uint16_t index, struct bytes *b, usec_t now)
{
	uint16_t command = bytes_le16(b);
	uint8_t status = bytes_u8(b);

	if (b->failed || command != m->command || index != m->asked)
		return;
	m->command = 0;
	if (m->stage == LIST && status == 0) {
		on_list(m, b, now);
	} else if (m->stage == LOOK && status == 0) {
		on_info(m, b, now);
	} else if (m->stage == LOOK) { /* it went meanwhile */
		m->looked++;
		look(m, now);
	} else if (status != 0) {
		refused(m, status, now);
	} else { /* what is on now; the same as in EVENT_NEW_SETTINGS, which others get */
		uint32_t settings = bytes_le32(b), wanted;

		wanted = m->stage == ENABLE ? SETTING_LE : SETTING_POWERED;
		m->settings = b->failed ? m->settings : settings;
		if (m->settings & wanted)
			bring_up(m, now);
		else
			refused(m, STATUS_REJECTED, now);
	}
}

/* Somebody switched ours on or off. */
static void on_settings(struct mgmt *m, struct bytes *b, usec_t now)
{
	uint32_t settings = bytes_le32(b);

	if (b->failed)
		return;
	m->settings = settings;
	if (m->stage == READY || m->stage == STUCK)
		bring_up(m, now);
}

static void handle(struct mgmt *m, const uint8_t *data, size_t size, usec_t now)
{
	struct bytes b = bytes_make(data, size);
	uint16_t event = bytes_le16(&b), index = bytes_le16(&b);
	bool added = event == EVENT_INDEX_ADDED && m->index == INDEX_NONE && m->stage == STUCK;
	bool removed = event == EVENT_INDEX_REMOVED && m->index != INDEX_NONE && index == m->index;

	(void)bytes_le16(&b); /* the length, which a message of a socket has as well */
	if (b.failed)
		return;
	if (event == EVENT_COMPLETE || event == EVENT_STATUS)
		on_answer(m, index, &b, now);
	else if (event == EVENT_NEW_SETTINGS && index == m->index && m->index != INDEX_NONE)
		on_settings(m, &b, now);
	else if (added || removed)
		list(m, now);
}

/* Calls back if what the owner sees is another now than before. */
static void tell(struct mgmt *m, bool was_ready, const char *problem)
{
	if (mgmt_ready(m) != was_ready || !streq(problem, m->problem))
		m->handler.changed(m->handler.userdata);
}

struct mgmt *mgmt_free(struct mgmt *m)
{
	free(m);
	return NULL;
}

int mgmt_new(const char *adapter, const struct mgmt_handler *handler, struct mgmt **ret)
{
	struct mgmt *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->handler = *handler;
	m->index = INDEX_NONE;
	(void)snprintf(m->wanted, sizeof(m->wanted), "%s", adapter ? adapter : "");
	*ret = m;
	return 0;
}

void mgmt_receive(struct mgmt *m, const uint8_t *data, size_t size, usec_t now)
{
	bool was_ready = mgmt_ready(m);
	char problem[sizeof(m->problem)];

	memcpy(problem, m->problem, sizeof(problem));
	handle(m, data, size, now);
	tell(m, was_ready, problem);
}

usec_t mgmt_due(const struct mgmt *m)
{
	return m->due;
}

void mgmt_tick(struct mgmt *m, usec_t now)
{
	bool was_ready = mgmt_ready(m);
	char problem[sizeof(m->problem)];

	if (now < m->due)
		return;
	memcpy(problem, m->problem, sizeof(problem));
	if (m->command) {
		(void)snprintf(m->problem, sizeof(m->problem),
			       "the kernel does not answer for the Bluetooth adapter %s; it may "
			       "have to be unplugged, or the machine be restarted",
			       m->name);
		be_stuck(m, now);
	} else if (m->stage == STUCK && m->index != INDEX_NONE) {
		bring_up(m, now);
	} else {
		list(m, now);
	}
	tell(m, was_ready, problem);
}

bool mgmt_ready(const struct mgmt *m)
{
	return m->stage == READY;
}

const char *mgmt_problem(const struct mgmt *m)
{
	return m->problem;
}

const char *mgmt_name(const struct mgmt *m)
{
	return m->name;
}

const char *mgmt_address(const struct mgmt *m)
{
	return m->address;
}

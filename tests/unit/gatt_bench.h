/*
 * For tests of GATT: a client at the end of a script, and a wearable to play. It is made up, shaped
 * like an H10: six services, the one with ECG has long UUIDs, its MTU is 232.
 */
#pragma once

#include "pdu_script.h"
#include "source/gatt.h"

#define HEART_RATE	CHARACTERISTIC_HEART_RATE_MEASUREMENT
#define SENSOR_LOCATION CHARACTERISTIC_BODY_SENSOR_LOCATION
#define CONTROL_POINT	CHARACTERISTIC_PMD_CONTROL_POINT
#define MANUFACTURER	CHARACTERISTIC_MANUFACTURER_NAME

#define MTU_EXCHANGE   \
	"> 02 05 02\n" \
	"< 03 e8 00\n"
#define SERVICES                                                                              \
	"> 10 01 00 ff ff 00 28\n"                                                            \
	"< 11 06 01 00 07 00 00 18 08 00 0b 00 01 18 0c 00 11 00 0d 18 12 00 16 00 0a 18 17 " \
	"00 1a 00 0f 18\n"                                                                    \
	"> 10 1b 00 ff ff 00 28\n"                                                            \
	"< 11 14 1b 00 21 00 c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 80 5c 00 fb\n"               \
	"> 10 22 00 ff ff 00 28\n"                                                            \
	"< 11 06 22 00 ff ff ee fe\n"
#define CHARACTERISTICS                                                                      \
	"> 08 01 00 ff ff 03 28\n"                                                           \
	"< 09 07 02 00 02 03 00 00 2a 04 00 02 05 00 01 2a 06 00 02 07 00 04 2a 09 00 20 0a" \
	" 00 05 2a 0d 00 10 0e 00 37 2a 10 00 02 11 00 38 2a 13 00 02 14 00 29 2a 15 00 02 " \
	"16 00 24 2a 18 00 12 19 00 19 2a\n"                                                 \
	"> 08 1a 00 ff ff 03 28\n"                                                           \
	"< 09 15 1c 00 2a 1d 00 c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 81 5c 00 fb 1f 00 10 20" \
	" 00 c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 82 5c 00 fb\n"                              \
	"> 08 21 00 ff ff 03 28\n"                                                           \
	"< 09 15 23 00 1c 24 00 38 a2 44 75 f2 ea 87 4a ee 47 6f 3c 53 00 7c 21\n"           \
	"> 08 25 00 ff ff 03 28\n"                                                           \
	"< 01 08 25 00 0a\n"
#define DISCOVERY MTU_EXCHANGE SERVICES CHARACTERISTICS "= discovered 0 00\n"

struct bench {
	struct script script;
	struct gatt *gatt;
	bool freed_by_callback;
};

static inline void see(struct bench *b, const char *what, int result, uint8_t error,
		       const uint8_t *data, size_t size, usec_t now)
{
	char line[64];

	assert_int_equal(now, b->script.now);
	(void)snprintf(line, sizeof(line), "= %s %d %02x", what, result, error);
	script_see(&b->script, line, data, size);
	if (b->freed_by_callback)
		b->gatt = gatt_free(b->gatt);
}

static inline void on_send(void *userdata, const uint8_t *data, size_t size)
{
	struct bench *b = userdata;

	script_see(&b->script, ">", data, size);
}

static inline void on_discovered(void *userdata, int result, uint8_t error, usec_t now)
{
	see(userdata, "discovered", result, error, NULL, 0, now);
}

static inline void on_done(void *userdata, int result, uint8_t error, const uint8_t *data,
			   size_t size, usec_t now)
{
	see(userdata, "done", result, error, data, size, now);
}

static inline void on_value(void *userdata, enum characteristic c, const uint8_t *data, size_t size,
			    usec_t now)
{
	struct bench *b = userdata;
	char line[64];

	assert_int_equal(now, b->script.now);
	(void)snprintf(line, sizeof(line), "= value %.8s", characteristic_uuid(c));
	script_see(&b->script, line, data, size);
}

static inline void on_broken(void *userdata, const char *why)
{
	struct bench *b = userdata;
	char line[128];

	(void)snprintf(line, sizeof(line), "= broken: %s", why);
	script_see(&b->script, line, NULL, 0);
	if (b->freed_by_callback)
		b->gatt = gatt_free(b->gatt);
}

static inline void receive(void *userdata, const uint8_t *data, size_t size, usec_t now)
{
	struct bench *b = userdata;

	if (b->gatt)
		gatt_receive(b->gatt, data, size, now);
}

static inline usec_t due(void *userdata)
{
	struct bench *b = userdata;

	return b->gatt ? gatt_due(b->gatt) : USEC_INFINITY;
}

static inline void tick(void *userdata, usec_t now)
{
	struct bench *b = userdata;

	gatt_tick(b->gatt, now);
}

static inline void begin(struct bench *b)
{
	struct gatt_handler handler = {.userdata = b,
				       .send = on_send,
				       .discovered = on_discovered,
				       .done = on_done,
				       .value = on_value,
				       .broken = on_broken};

	*b = (struct bench){.script = {.userdata = b,
				       .receive = receive,
				       .due = due,
				       .tick = tick,
				       .now = 1000 * USEC_PER_SEC}};
	assert_int_equal(gatt_new(&handler, &b->gatt), 0);
	assert_int_equal(gatt_due(b->gatt), USEC_INFINITY);
}

static inline void play(struct bench *b, const char *lines)
{
	script_play(&b->script, lines);
}

static inline void end(struct bench *b)
{
	play(b, "");
	b->gatt = gatt_free(b->gatt);
	buf_done(&b->script.seen);
}

static inline void discover(struct bench *b)
{
	begin(b);
	gatt_discover(b->gatt, b->script.now);
	play(b, DISCOVERY);
}

static inline void subscribe(struct bench *b, enum characteristic c, bool indicate)
{
	gatt_subscribe(b->gatt, c, indicate, b->script.now);
}

static inline void read_value(struct bench *b, enum characteristic c)
{
	gatt_read(b->gatt, c, b->script.now);
}

static inline void write_value(struct bench *b, enum characteristic c, const char *hex)
{
	uint8_t data[SCRIPT_PDU_MAX];

	gatt_write(b->gatt, c, data, script_bytes(hex, data), b->script.now);
}

/* Plays a discovery up to its n-th answer, which is left to the caller; false: it has fewer. */
static inline bool discover_until(struct bench *b, unsigned n, const char **ret_answer)
{
	static char lines[sizeof(DISCOVERY)];
	const char *at = DISCOVERY;
	unsigned seen = 0;

	while (*at && (*at != '<' || seen++ < n))
		at += strcspn(at, "\n") + 1;
	if (!*at)
		return false;
	memcpy(lines, DISCOVERY, (size_t)(at - DISCOVERY));
	lines[at - DISCOVERY] = '\0';
	begin(b);
	gatt_discover(b->gatt, b->script.now);
	play(b, lines);
	*ret_answer = at;
	return true;
}

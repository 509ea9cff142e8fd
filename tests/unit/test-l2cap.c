/*
 * Holds the source l2cap to a kernel and wearables made of scripts, on a real loop: sockets of
 * AF_UNIX stand in for those of L2CAP and of the management interface, and at their other ends sit
 * an adapter that can be switched, refused and pulled, and wearables with an attribute table. Waits
 * on sockets and timers only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/protocol.h"
#include "source/att_pdu.h"
#include "source/l2cap_source.h"
#include "util/buf.h"
#include "util/clock.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST	"a0:b1:c2:d3:e4:01"
#define SECOND	"f0:b1:c2:d3:e4:02"
#define POWERED "\x01\x02\x00\x00" /* LE is there */
#define OFF	"\x00\x02\x00\x00"

enum { WEARABLES_MAX = 2, PEERS_MAX = 4 };

/* One link as the wearable sees it. */
struct peer {
	struct bench *bench;
	int fd;
	sd_event_source *io;
};

struct bench {
	sd_event *event;
	struct source *source;
	struct config *config;
	/* the kernel */
	int mgmt_fd;
	sd_event_source *mgmt_io;
	bool powered, no_right, no_sockets;
	int refuse_connect; /* errno of the next attempts */
	unsigned n_refused, n_connects;
	char last_address[DEVICE_ADDRESS_SIZE];
	bool last_random;
	const char *away; /* it is connected to without end */
	/* the wearables */
	struct peer peers[PEERS_MAX];
	unsigned n_peers;
	uint8_t refuse_handle, refuse_error; /* requests on it */
	struct buf written;		     /* "HANDLE HEX" a line */
	bool mute;
	usec_t list_wait; /* 0: for ever */
	/* what the owner was told */
	struct buf frames; /* "UUID HEX" a line */
	unsigned n_connected, n_disconnected, n_forgotten, n_states;
	enum gap_reason why;
	char problem[320], state[2][32], device_why[2][320], offers[2][128];
	bool there;
};

/* --- a wearable: heart rate at 3, its descriptor 4; battery at 7; PMD at 10, 12 --- */

struct attribute {
	uint16_t handle;
	const char *type; /* hexadecimal, least significant first */
	const char *value;
};

#define PMD(n) "c8f08d2dcd8aad1c87f3e702" n "5c00fb"
static const struct attribute table[] = {
	{1, "0028", "0d18"},
	{2, "0328", "100300372a"},
	{3, "372a", ""},
	{4, "0229", "0000"},
	{5, "0028", "0f18"},
	{6, "0328", "020700192a"},
	{7, "192a", "64"},
	{8, "0028", PMD("80")},
	{9, "0328", "2a0a00" PMD("81")},
	{10, PMD("81"), "0f01000000000000000000000000000000"},
	{11, "0229", "0000"},
	{12, "0328", "100d00" PMD("82")},
	{13, PMD("82"), ""},
	{14, "0229", "0000"},
};

static size_t from_hex(const char *hex, uint8_t *ret)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		const char digits[] = {hex[0], hex[1], '\0'};

		ret[n++] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return n;
}

static void put(struct peer *p, const void *data, size_t size)
{
	if (p->fd >= 0 && !p->bench->mute)
		(void)send(p->fd, data, size, MSG_NOSIGNAL); /* the other end may be closed */
}

static void refuse(struct peer *p, uint8_t opcode, uint16_t handle, uint8_t error)
{
	const uint8_t pdu[] = {ATT_ERROR_RESPONSE, opcode, (uint8_t)handle, (uint8_t)(handle >> 8),
			       error};

	put(p, pdu, sizeof(pdu));
}

static const struct attribute *attribute_at(uint16_t handle)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].handle == handle)
			return &table[i];
	return NULL;
}

/* Where the service that begins there ends. */
static uint16_t group_end(size_t at)
{
	while (at + 1 < ARRAY_SIZE(table) && !streq(table[at + 1].type, "0028"))
		at++;
	return table[at].handle;
}

/* Read by type, read by group: entries of one size; find information: handle and type. */
static void list(struct peer *p, const uint8_t *request, size_t size)
{
	uint16_t first = (uint16_t)(request[1] | request[2] << 8),
		 last = (uint16_t)(request[3] | request[4] << 8);
	bool group = request[0] == ATT_READ_BY_GROUP_REQUEST,
	     find = request[0] == ATT_FIND_INFORMATION_REQUEST;
	uint8_t pdu[512] = {request[0] + 1};
	uint8_t type[16], value[64], entry = 0;
	size_t n = 2;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t n_type = from_hex(table[i].type, type), at = n;
		size_t n_value = from_hex(table[i].value, value);

		if (table[i].handle < first || table[i].handle > last)
			continue;
		if (!find && (n_type != size - 5 || memcmp(type, request + 5, n_type) != 0))
			continue;
		pdu[at++] = (uint8_t)table[i].handle;
		pdu[at++] = 0;
		if (group) {
			pdu[at++] = (uint8_t)group_end(i);
			pdu[at++] = 0;
		}
		memcpy(pdu + at, find ? type : value, find ? n_type : n_value);
		at += find ? n_type : n_value;
		if (entry && at - n != entry)
			break; /* another size: asked for with the next request */
		entry = (uint8_t)(at - n);
		n = at;
	}
	pdu[1] = find ? (entry == 4 ? ATT_FORMAT_16 : ATT_FORMAT_128) : entry;
	if (entry)
		put(p, pdu, n);
	else
		refuse(p, request[0], first, ATT_ERROR_NOT_FOUND);
}

static void indicate(struct peer *p, const char *hex)
{
	uint8_t pdu[64] = {ATT_INDICATION, 10, 0};

	put(p, pdu, 3 + from_hex(hex, pdu + 3));
}

/* The control point, as an H10 answers. */
static void command(struct peer *p, const uint8_t *data, size_t size)
{
	if (size >= 2 && data[0] == 0x01)
		indicate(p, "f0010000000001820001010e00");
	else if (size >= 2 && data[0] == 0x02)
		indicate(p, "f00200000000");
	else if (size >= 2 && data[0] == 0x03)
		indicate(p, "f0030000");
}

static void on_write(struct peer *p, const uint8_t *pdu, size_t size)
{
	static const uint8_t written = ATT_WRITE_RESPONSE;
	struct bench *b = p->bench;

	buf_printf(&b->written, "%u ", pdu[1]);
	for (size_t i = 3; i < size; i++)
		buf_printf(&b->written, "%02x", pdu[i]);
	buf_printf(&b->written, "\n");
	put(p, &written, 1);
	if (pdu[1] == 10)
		command(p, pdu + 3, size - 3);
}

static void on_request(struct peer *p, const uint8_t *pdu, size_t size)
{
	struct bench *b = p->bench;
	const struct attribute *a =
		size >= 3 ? attribute_at((uint16_t)(pdu[1] | pdu[2] << 8)) : NULL;
	uint8_t answer[64];

	switch (pdu[0]) {
	case ATT_MTU_REQUEST: put(p, "\x03\xe8\x00", 3); break;
	case ATT_READ_BY_GROUP_REQUEST:
	case ATT_READ_BY_TYPE_REQUEST:
	case ATT_FIND_INFORMATION_REQUEST:
		assert_true(size >= 5);
		list(p, pdu, size);
		break;
	case ATT_READ_REQUEST:
	case ATT_WRITE_REQUEST:
		assert_non_null(a);
		if (b->refuse_handle == a->handle) {
			refuse(p, pdu[0], a->handle, b->refuse_error);
		} else if (pdu[0] == ATT_WRITE_REQUEST) {
			on_write(p, pdu, size);
		} else {
			answer[0] = ATT_READ_RESPONSE;
			put(p, answer, 1 + from_hex(a->value, answer + 1));
		}
		break;
	case ATT_CONFIRMATION: break;
	default: fail_msg("unexpected opcode %02x", pdu[0]);
	}
}

static void peer_close(struct peer *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
}

static int on_peer(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	uint8_t pdu[1024];
	ssize_t n = recv(fd, pdu, sizeof(pdu), MSG_DONTWAIT);

	if (n <= 0)
		peer_close(userdata);
	else
		on_request(userdata, pdu, (size_t)n);
	return 0;
}

static void beat(struct bench *b)
{
	struct peer *p = &b->peers[(b->n_peers - 1) % PEERS_MAX];

	put(p, "\x1b\x03\x00\x00\x3c", 5);
}

/* --- the kernel --- */

static void tell_mgmt(struct bench *b, const char *bytes, size_t size)
{
	assert_int_equal(send(b->mgmt_fd, bytes, size, MSG_NOSIGNAL), size);
}
#define TELL(b, bytes) tell_mgmt(b, bytes, sizeof(bytes) - 1)

static int on_mgmt(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct bench *b = userdata;
	uint8_t m[16];
	ssize_t n = recv(fd, m, sizeof(m), MSG_DONTWAIT);

	if (n <= 0) {
		b->mgmt_io = sd_event_source_disable_unref(b->mgmt_io);
		return 0;
	}
	if (m[0] == 0x03)
		TELL(b, "\x01\x00\xff\xff\x07\x00\x03\x00\x00\x01\x00\x00\x00");
	else if (m[0] == 0x04 && b->powered)
		TELL(b, "\x01\x00\x00\x00\x17\x00\x04\x00\x00\x11\x22\x33\x44\x55\x66\x09\x00\x00"
			"\xff\x3e\x01\x00" POWERED);
	else if (m[0] == 0x04)
		TELL(b, "\x01\x00\x00\x00\x17\x00\x04\x00\x00\x11\x22\x33\x44\x55\x66\x09\x00\x00"
			"\xff\x3e\x01\x00" OFF);
	else if (m[0] == 0x05 && b->no_right)
		TELL(b, "\x02\x00\x00\x00\x03\x00\x05\x00\x14");
	else if (m[0] == 0x05)
		TELL(b, "\x01\x00\x00\x00\x07\x00\x05\x00\x00" POWERED);
	return 0;
}

static int manage(void *userdata)
{
	struct bench *b = userdata;
	int fds[2];

	if (b->no_sockets)
		return -EAFNOSUPPORT;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	if (b->mgmt_fd >= 0)
		(void)close(b->mgmt_fd);
	b->mgmt_io = sd_event_source_disable_unref(b->mgmt_io);
	b->mgmt_fd = fds[0];
	assert_true(sd_event_add_io(b->event, &b->mgmt_io, fds[0], EPOLLIN, on_mgmt, b) >= 0);
	return fds[1];
}

/* As a socket that is being connected, it takes nothing. */
static void stuff(int fd)
{
	static const uint8_t nothing[512];

	while (send(fd, nothing, sizeof(nothing), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static int begin_connect(void *userdata, const char *adapter, const char *address, bool random)
{
	struct bench *b = userdata;
	struct peer *p = &b->peers[b->n_peers % PEERS_MAX];
	int fds[2];

	assert_string_equal(adapter, "66:55:44:33:22:11");
	b->n_connects++;
	memcpy(b->last_address, address, sizeof(b->last_address));
	b->last_random = random;
	if (b->n_refused) {
		b->n_refused--;
		return -b->refuse_connect;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	b->n_peers++;
	peer_close(p);
	p->fd = fds[0];
	if (b->away && streq(address, b->away))
		stuff(fds[1]);
	else
		assert_true(sd_event_add_io(b->event, &p->io, fds[0], EPOLLIN, on_peer, p) >= 0);
	return fds[1];
}

/* --- the owner --- */

static unsigned number(const char *address)
{
	return streq(address, SECOND);
}

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	struct bench *b = userdata;

	assert_string_equal(name, "red strap");
	b->n_connected++;
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct bench *b = userdata;

	assert_true(f->boot_us <= f->read_us && f->read_us - f->boot_us < 60 * USEC_PER_SEC);
	buf_printf(&b->frames, "%.4s ", characteristic_uuid(f->characteristic));
	for (size_t i = 0; i < f->size; i++)
		buf_printf(&b->frames, "%02x", f->data[i]);
	buf_printf(&b->frames, "\n");
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	struct bench *b = userdata;

	b->n_disconnected++;
	b->why = why;
	assert_true(b->n_disconnected <= b->n_connected);
}

static void on_device(void *userdata, const struct source_device *d)
{
	struct bench *b = userdata;
	unsigned i = number(d->address);

	(void)snprintf(b->state[i], sizeof(b->state[i]), "%s", d->state);
	(void)snprintf(b->device_why[i], sizeof(b->device_why[i]), "%s", d->why);
	(void)snprintf(b->offers[i], sizeof(b->offers[i]), "%s", d->offers);
}

static void on_forgotten(void *userdata, const char *device)
{
	((struct bench *)userdata)->n_forgotten++;
}

static void on_state(void *userdata, const char *problem)
{
	struct bench *b = userdata;

	b->n_states++;
	b->there = !problem;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem ? problem : "");
}

static struct config *parse(const char *text)
{
	struct buf problems = {0};
	struct config *c = NULL;

	assert_int_equal(config_parse("test", text, strlen(text), &problems, &c), 0);
	buf_done(&problems);
	return c;
}

#define ONE   "[source]\ntype=l2cap\n[device \"" FIRST "\"]\nname=red strap\n"
#define HEART ONE "streams=heart_rate\n"

static void begin(struct bench *b, const char *text)
{
	const struct l2cap_door door = {.userdata = b,
					.manage = manage,
					.connect = begin_connect,
					.pause = USEC_PER_MSEC,
					.link_ends = 2 * USEC_PER_MSEC,
					.list_wait =
						b->list_wait ? b->list_wait : 3600 * USEC_PER_SEC};
	const struct source_handler handler = {.userdata = b,
					       .connected = on_connected,
					       .frame = on_frame,
					       .disconnected = on_disconnected,
					       .device = on_device,
					       .forgotten = on_forgotten,
					       .state = on_state};

	b->config = parse(text);
	assert_int_equal(l2cap_source_new(b->event, b->config, protocol_profiles(), &door, &handler,
					  &b->source),
			 0);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
	assert_true(sd_event_new(&b->event) >= 0);
	b->mgmt_fd = -1;
	b->powered = true;
	for (unsigned i = 0; i < PEERS_MAX; i++)
		b->peers[i] = (struct peer){.bench = b, .fd = -1};
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	source_free(b->source);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer_close(&b->peers[i]);
	sd_event_source_disable_unref(b->mgmt_io);
	if (b->mgmt_fd >= 0)
		(void)close(b->mgmt_fd);
	sd_event_unref(b->event);
	config_free(b->config);
	buf_done(&b->written);
	buf_done(&b->frames);
	free(b);
	return 0;
}

/* Turns the loop until it is so; each turn waits on the sockets, and a minute is for ever. */
#define UNTIL(b, condition)                                                               \
	do {                                                                              \
		usec_t end_ = clock_boot_usec() + 60 * USEC_PER_SEC;                      \
		while (!(condition)) {                                                    \
			assert_true(sd_event_run((b)->event, USEC_PER_SEC) >= 0);         \
			if (clock_boot_usec() > end_)                                     \
				fail_msg("never: %s (%s, %s)", #condition, (b)->state[0], \
					 (b)->device_why[0]);                             \
		}                                                                         \
	} while (0)

static bool has(const struct buf *b, const char *line)
{
	return b->size && memmem(b->data, b->size, line, strlen(line));
}

static void streams(struct bench *b)
{
	UNTIL(b, streq(b->state[0], "streaming"));
}

/* --- scripts --- */

static void a_wearable_streams(void **state)
{
	struct bench *b = *state;

	begin(b, ONE);
	b->powered = false; /* it is switched on */
	streams(b);
	assert_true(b->there);
	assert_string_equal(b->device_why[0], "");
	assert_int_equal(b->n_connected, 1);
	assert_string_equal(b->last_address, FIRST);
	assert_false(b->last_random);
	assert_true(has(&b->frames, "2a19 64\n"));
	assert_true(has(&b->written, "4 0100\n"));	     /* heart rate */
	assert_true(has(&b->written, "11 0200\n14 0100\n")); /* control point, then data */
	assert_true(has(&b->written, "10 0200"));	     /* start of ECG */
	assert_non_null(strstr(b->offers[0], "heart_rate"));
	beat(b);
	UNTIL(b, has(&b->frames, "2a37 003c\n"));
}

static void an_address_may_be_random(void **state)
{
	struct bench *b = *state;

	begin(b, "[source]\ntype=l2cap\n[device \"" SECOND "\"]\nname=red strap\n");
	UNTIL(b, b->n_connects);
	assert_string_equal(b->last_address, SECOND);
	assert_true(b->last_random);
}

static void an_address_type_is_believed(void **state)
{
	struct bench *b = *state;

	begin(b, ONE "address_type=random\n");
	UNTIL(b, b->n_connects);
	assert_true(b->last_random);
}

static void a_lost_link_is_made_again(void **state)
{
	struct bench *b = *state;

	begin(b, HEART);
	streams(b);
	peer_close(&b->peers[0]);
	UNTIL(b, b->n_disconnected == 1);
	UNTIL(b, b->n_connected == 2);
	streams(b);
	beat(b);
	UNTIL(b, has(&b->frames, "2a37 003c\n"));
}

static void who_is_not_there_is_tried_again(void **state)
{
	struct bench *b = *state;

	b->refuse_connect = EHOSTDOWN;
	b->n_refused = 3;
	begin(b, HEART);
	UNTIL(b, strstr(b->device_why[0], "does not answer"));
	assert_string_equal(b->state[0], "waiting");
	streams(b);
	assert_int_equal(b->n_connects, 4);
}

static void an_adapter_that_is_off_is_told(void **state)
{
	struct bench *b = *state;

	b->powered = false;
	b->no_right = true;
	begin(b, HEART);
	UNTIL(b, b->n_states);
	assert_non_null(strstr(b->problem, "needs CAP_NET_ADMIN"));
	UNTIL(b, strstr(b->device_why[0], "needs CAP_NET_ADMIN"));
	TELL(b, "\x06\x00\x00\x00\x04\x00" POWERED); /* somebody else does it */
	streams(b);
	assert_true(b->there);
}

static void an_adapter_that_goes_takes_the_links_along(void **state)
{
	struct bench *b = *state;

	begin(b, HEART);
	streams(b);
	b->no_right = true;
	TELL(b, "\x06\x00\x00\x00\x04\x00" OFF);
	UNTIL(b, b->n_disconnected);
	assert_int_equal(b->why, GAP_ADAPTER);
	UNTIL(b, !b->there);
	TELL(b, "\x06\x00\x00\x00\x04\x00" POWERED);
	streams(b);
	assert_int_equal(b->n_connected, 2);
}

static void closed_sockets_are_told(void **state)
{
	struct bench *b = *state;

	b->no_sockets = true;
	begin(b, HEART);
	UNTIL(b, b->n_states);
	assert_non_null(strstr(b->problem, "Bluetooth sockets are closed to this service"));
}

static void what_needs_pairing_is_told_and_the_rest_streams(void **state)
{
	struct bench *b = *state;

	b->refuse_handle = 11;
	b->refuse_error = ATT_ERROR_AUTHENTICATION;
	begin(b, ONE);
	UNTIL(b, strstr(b->device_why[0], "needs pairing, which only type = bluez can do; ecg"));
	streams(b);
	beat(b);
	UNTIL(b, has(&b->frames, "2a37 003c\n"));
	assert_false(has(&b->written, "10 0200"));
}

static void other_wishes_are_followed(void **state)
{
	struct bench *b = *state;
	struct config *old;

	begin(b, HEART);
	streams(b);
	old = b->config;
	b->config = parse(ONE);
	source_set_config(b->source, b->config);
	config_free(old);
	UNTIL(b, has(&b->written, "10 0200"));
	assert_int_equal(b->n_connected, 1);
	old = b->config;
	b->config = parse("[source]\ntype=l2cap\n");
	source_set_config(b->source, b->config);
	config_free(old);
	UNTIL(b, b->n_forgotten == 1);
	assert_true(has(&b->written, "10 0300\n")); /* it may rest */
	assert_int_equal(b->n_disconnected, 1);
}

static void no_more_than_may_be(void **state)
{
	struct bench *b = *state;

	begin(b, "[source]\ntype=l2cap\n[bluetooth]\nmax_links=1\n[device \"" FIRST
		 "\"]\nname=red strap\n[device \"" SECOND "\"]\nname=red strap\n");
	UNTIL(b, streq(b->device_why[0], "all 1 links are in use (max_links)") ||
			 streq(b->device_why[1], "all 1 links are in use (max_links)"));
	UNTIL(b, streq(b->state[0], "streaming") || streq(b->state[1], "streaming"));
	UNTIL(b, b->peers[0].fd < 0 || b->peers[1].fd < 0);
	assert_int_equal(b->n_connected, 1);
	assert_int_equal(b->n_connects, 2); /* both at once; and nobody is looked for after that */
}

/* More are away than may have a link: who is there is heard, and then nobody else is looked for. */
static void who_is_away_keeps_nobody_out(void **state)
{
	struct bench *b = *state;

	b->away = FIRST;
	begin(b, "[source]\ntype=l2cap\n[bluetooth]\nmax_links=1\n[device \"" FIRST
		 "\"]\nname=red strap\n[device \"" SECOND "\"]\nname=red strap\n");
	UNTIL(b, streq(b->state[1], "streaming"));
	UNTIL(b, streq(b->device_why[0], "all 1 links are in use (max_links)"));
	assert_string_equal(b->state[0], "waiting");
	assert_int_equal(b->n_connects, 2);
}

static void a_peer_that_breaks_the_rules_is_dropped(void **state)
{
	struct bench *b = *state;

	begin(b, HEART);
	streams(b);
	put(&b->peers[0], "\x0b\x00", 2); /* an answer to nothing */
	UNTIL(b, b->n_disconnected == 1);
	assert_int_equal(b->why, GAP_LINK_LOSS);
	streams(b);
}

/* Each of its answers may come in time, and there may be 65535 of them. */
static void a_peer_that_lists_without_end_is_dropped(void **state)
{
	struct bench *b = *state;

	b->mute = true;
	b->list_wait = 200 * USEC_PER_MSEC;
	begin(b, HEART);
	UNTIL(b, streq(b->device_why[0], "the wearable takes too long to say what it offers"));
	b->mute = false;
	UNTIL(b, b->n_connected);
	assert_true(b->n_connects >= 2);
}

/* In teardown, too, but there nobody looks. */
static void streams_stop_with_the_daemon(void **state)
{
	struct bench *b = *state;

	begin(b, ONE);
	streams(b);
	b->source = source_free(b->source);
	UNTIL(b, has(&b->written, "10 0300\n"));
}

#define script(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		script(a_wearable_streams),
		script(an_address_may_be_random),
		script(an_address_type_is_believed),
		script(a_lost_link_is_made_again),
		script(who_is_not_there_is_tried_again),
		script(an_adapter_that_is_off_is_told),
		script(an_adapter_that_goes_takes_the_links_along),
		script(closed_sockets_are_told),
		script(what_needs_pairing_is_told_and_the_rest_streams),
		script(other_wishes_are_followed),
		script(no_more_than_may_be),
		script(who_is_away_keeps_nobody_out),
		script(a_peer_that_breaks_the_rules_is_dropped),
		script(a_peer_that_lists_without_end_is_dropped),
		script(streams_stop_with_the_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

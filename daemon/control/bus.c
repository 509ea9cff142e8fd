/*
 * One object, two places. vitalctl must work unprivileged in a demo, in a test without any bus, and
 * most of all on the night when dbus-daemon is what broke; so the object is always served on a
 * private socket, RUNTIME_DIR/control, peer to peer, with the D-Bus protocol on it. Other programs
 * look for services on the system bus, so the same vtable is also org.vitald there; a bus that is
 * absent or restarts is no error: it is tried again with backoff, and status names it.
 *
 *     private socket   accept -> SO_PEERCRED, SO_PEERGROUPS -> sd-bus server -> requests
 *     system bus       off -> connecting -> named -> (lost) -> waiting -> connecting
 *
 * Who may: the directory and the socket (0660) let in our own user and group, and then each peer is
 * looked at again: our uid, root, members of the groups vitald and sudo. The kernel tells its
 * groups, so nothing asks NSS from the loop. (Inside PrivateUsers= the kernel shows only root and
 * our own ids and everybody else as nobody: there a member of sudo uses sudo, or the system bus,
 * whose policy knows the real groups.)
 *
 * Bounds: PEERS_MAX connections (the oldest gives way, so that no one can be locked out by what
 * others left open), QUEUED_MAX unsent messages for each (then it is dropped).
 *
 * sd-bus frees nothing under our feet: it holds a reference on a bus while it dispatches from it.
 */
#include "control/bus.h"

#include "control/api.h"
#include "control/audits.h"
#include "model/value.h"
#include "util/backoff.h"
#include "util/log.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

enum {
	PEERS_MAX = 16,
	QUEUED_MAX = 256,
	GROUPS_MAX = 64,
	ACCEPTS_MAX = 100, /* a second */
};

struct peer {
	struct control *control;
	sd_bus *bus; /* NULL: this place is free */
	bool subscribed;
	uint64_t number; /* the lower, the older */
};

struct control {
	sd_event *event;
	char *path; /* of the socket */
	bool system_bus;
	struct control_handler handler;

	int fd;
	sd_event_source *accept;
	gid_t groups[2];
	size_t n_groups;
	struct peer peers[PEERS_MAX];
	uint64_t n_accepted;

	sd_bus *system;
	sd_event_source *retry;
	struct backoff backoff;
	bool named;
	char problem[120];

	struct audits *audits;
};

static int connect_system(struct control *c);

/* --- requests ------------------------------------------------------------------------------ */

static int answer(struct control *c, sd_bus_message *m, const char *which)
{
	_cleanup_(tables_done) struct tables t = {0};
	int r = c->handler.tables(c->handler.userdata, which, &t);

	if (r == CONTROL_E_UNKNOWN)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS,
						  "there is no \"%s\" to ask for", which);
	return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : audits_reply(m, &t);
}

static int on_query(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;
	const char *which;
	int r = sd_bus_message_read(m, "s", &which);

	if (r < 0)
		return r;
	return streq(which, "audit") ? audits_join(c->audits, m) : answer(c, m, which);
}

static int on_sync(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;
	int critical, r = sd_bus_message_read(m, "b", &critical);

	if (r < 0)
		return r;
	r = c->handler.sync(c->handler.userdata, critical);
	return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : answer(c, m, "sinks");
}

static int on_cleanup(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;
	int r = c->handler.cleanup(c->handler.userdata);

	return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : answer(c, m, "sinks");
}

static int on_reconcile(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;
	int everything, r = sd_bus_message_read(m, "b", &everything);

	if (r < 0)
		return r;
	r = c->handler.reconcile(c->handler.userdata, everything);
	return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : answer(c, m, "reconcile");
}

/* Takes fd. */
static int capture(struct control *c, int fd, const char *device)
{
	int r = c->handler.capture(c->handler.userdata, fd, device);

	if (r != 0)
		(void)close(fd); /* nothing was written */
	return r;
}

static int on_capture(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;
	char address[DEVICE_ADDRESS_SIZE] = "";
	const char *device;
	int fd, r = sd_bus_message_read(m, "hs", &fd, &device);

	if (r < 0)
		return r;
	if (*device && !value_address(device, address))
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS,
						  "\"%.40s\" is not the address of a wearable",
						  device);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the message closes its own */
	if (fd < 0)
		return sd_bus_reply_method_errno(m, errno, NULL);
	r = capture(c, fd, address);
	if (r == CONTROL_E_BUSY)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_LIMITS_EXCEEDED,
						  "there are as many captures as there may be");
	if (r == CONTROL_E_SOCKET)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS,
						  "a capture needs a SEQPACKET socket");
	return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : answer(c, m, "devices");
}

static int on_rewind(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct control *c = userdata;
	struct control_rewind wish = {0};
	const char *stream;
	char why[200];
	int dry_run, r = sd_bus_message_read(m, "sstxb", &wish.sink, &stream, &wish.after_seq,
					     &wish.since_us, &dry_run);

	if (r < 0)
		return r;
	wish.dry_run = dry_run;
	if (!uuid_parse(stream, &wish.stream))
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS,
						  "\"%.40s\" is not the id of a stream", stream);
	r = c->handler.rewind(c->handler.userdata, &wish, &t, why);
	if (r == CONTROL_E_REFUSED)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS, "%s", why);
	if (r == 0 && tables_failed(&t))
		r = -ENOMEM;
	return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : audits_reply(m, &t);
}

static int on_accept_url(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct control *c = userdata;
	struct table *accepted;
	bool changed = false;
	const char *sink;
	int r = sd_bus_message_read(m, "s", &sink);

	if (r < 0)
		return r;
	r = c->handler.accept(c->handler.userdata, sink, &changed);
	if (r == -ENOENT)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS,
						  "no server is called \"%.40s\"", sink);
	if (r == 0)
		r = c->handler.tables(c->handler.userdata, "sinks", &t);
	if (r < 0)
		return sd_bus_reply_method_errno(m, r, NULL);
	accepted = tables_add(&t, "accepted", "sink changed");
	table_string(accepted, sink);
	table_bool(accepted, changed);
	return audits_reply(m, &t);
}

static int on_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;

	for (size_t i = 0; i < PEERS_MAX; i++)
		if (c->peers[i].bus == sd_bus_message_get_bus(m))
			c->peers[i].subscribed = true;
	return sd_bus_reply_method_return(m, NULL);
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	return sd_bus_message_append(reply, "s", VITALD_VERSION);
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;

	return sd_bus_message_append(reply, "s", c->handler.state(c->handler.userdata));
}

/* Unprivileged: who may call was settled at the door, by us or by the bus's policy. */
static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("Query", SD_BUS_ARGS("s", which),
				SD_BUS_RESULT(TABLES_SIGNATURE, tables), on_query,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Sync", SD_BUS_ARGS("b", critical),
				SD_BUS_RESULT(TABLES_SIGNATURE, tables), on_sync,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Cleanup", SD_BUS_NO_ARGS, SD_BUS_RESULT(TABLES_SIGNATURE, tables),
				on_cleanup, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Reconcile", SD_BUS_ARGS("b", everything),
				SD_BUS_RESULT(TABLES_SIGNATURE, tables), on_reconcile,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Capture", SD_BUS_ARGS("h", socket, "s", device),
				SD_BUS_RESULT(TABLES_SIGNATURE, tables), on_capture,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Rewind",
				SD_BUS_ARGS("s", sink, "s", stream, "t", after_seq, "x", since_us,
					    "b", dry_run),
				SD_BUS_RESULT(TABLES_SIGNATURE, tables), on_rewind,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Accept", SD_BUS_ARGS("s", sink),
				SD_BUS_RESULT(TABLES_SIGNATURE, tables), on_accept_url,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_subscribe,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("State", "s", get_state, 0, 0),
	SD_BUS_SIGNAL_WITH_ARGS("SyncEvent",
				SD_BUS_ARGS("x", wall_us, "s", type, "s", data_type, "b", success,
					    "u", count, "u", retries, "u", duration_ms, "s", sink,
					    "s", reason, "t", number, "u", latency_ms),
				0),
	SD_BUS_VTABLE_END,
};

/* --- the private socket -------------------------------------------------------------------- */

static void peer_close(struct peer *p)
{
	struct control *c = p->control;

	p->bus = sd_bus_close_unref(p->bus);
	*p = (struct peer){.control = c};
}

static int on_peer_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	peer_close(userdata);
	return 0;
}

/* A free place; if there is none, that of the oldest. */
static struct peer *peer_place(struct control *c)
{
	struct peer *oldest = &c->peers[0];

	for (size_t i = 0; i < PEERS_MAX; i++) {
		if (!c->peers[i].bus)
			return &c->peers[i];
		if (c->peers[i].number < oldest->number)
			oldest = &c->peers[i];
	}
	peer_close(oldest);
	return oldest;
}

static bool group_allowed(const struct control *c, gid_t gid)
{
	for (size_t i = 0; i < c->n_groups; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}

static bool peer_allowed(const struct control *c, int fd)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);
	struct ucred cred;
	socklen_t cred_size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_size) < 0)
		return false;
	if (cred.uid == 0 || cred.uid == geteuid() || group_allowed(c, cred.gid))
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false; /* ERANGE too: in more groups than anybody is */
	for (size_t i = 0; i < size / sizeof(gid_t); i++)
		if (group_allowed(c, groups[i]))
			return true;
	return false;
}

/* Takes fd. */
static int peer_open(struct control *c, struct peer *p, int fd)
{
	sd_id128_t id;
	int r = sd_bus_new(&p->bus);

	if (r < 0) {
		(void)close(fd); /* accepted a moment ago, nothing was written */
		return r;
	}
	r = sd_bus_set_fd(p->bus, fd, fd);
	if (r < 0) {
		(void)close(fd); /* as above */
		return r;
	}
	if ((r = sd_id128_randomize(&id)) < 0 || (r = sd_bus_set_server(p->bus, 1, id)) < 0 ||
	    (r = sd_bus_set_anonymous(p->bus, 1)) < 0 || /* who it is was asked of the kernel */
	    (r = sd_bus_set_description(p->bus, "control")) < 0 ||
	    (r = sd_bus_add_object_vtable(p->bus, NULL, CONTROL_OBJECT, CONTROL_INTERFACE, vtable,
					  c)) < 0 ||
	    (r = sd_bus_match_signal_async(p->bus, NULL, "org.freedesktop.DBus.Local",
					   "/org/freedesktop/DBus/Local",
					   "org.freedesktop.DBus.Local", "Disconnected",
					   on_peer_gone, NULL, p)) < 0 ||
	    (r = sd_bus_start(p->bus)) < 0)
		return r;
	return sd_bus_attach_event(p->bus, c->event, SD_EVENT_PRIORITY_NORMAL);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct control *c = userdata;
	struct peer *p;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

	if (peer < 0)
		return 0; /* it went away meanwhile; or no descriptors, and then it asks again */
	if (!peer_allowed(c, peer)) {
		log_info("refused somebody on the control socket: not in the group vitald or sudo");
		(void)close(peer); /* nothing was written */
		return 0;
	}
	p = peer_place(c);
	p->number = ++c->n_accepted;
	r = peer_open(c, p, peer);
	if (r < 0) {
		log_debug("cannot serve a control connection: %s", strerror(-r));
		peer_close(p);
	}
	return 0;
}

static int listen_socket(struct control *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	if (strlen(c->path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, c->path, strlen(c->path)); /* a NUL is there already */
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return -errno;
	if (unlink(c->path) < 0 && errno != ENOENT)
		return -errno; /* what a killed daemon left is in the way */
	mask = umask(0117);
	r = bind(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask); /* cannot fail */
	if (r == 0 && listen(c->fd, PEERS_MAX) < 0)
		r = -errno;
	if (r == 0)
		r = sd_event_add_io(c->event, &c->accept, c->fd, EPOLLIN, on_accept, c);
	/* without descriptors accept() fails as long as somebody waits: then not in a tight loop */
	return r < 0 ? r : sd_event_source_set_ratelimit(c->accept, USEC_PER_SEC, ACCEPTS_MAX);
}

static void find_groups(struct control *c)
{
	static const char *const names[] = {"vitald", "sudo"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct group *g = getgrnam(names[i]);

		if (g)
			c->groups[c->n_groups++] = g->gr_gid;
	}
}

/* --- the system bus ------------------------------------------------------------------------ */

static void lose_system(struct control *c, const char *why)
{
	bool known = c->problem[0] != '\0';
	usec_t wait = backoff_next(&c->backoff);

	c->system = sd_bus_close_unref(c->system);
	c->named = false;
	(void)snprintf(c->problem, sizeof(c->problem), "%s", why);
	if (!known)
		log_notice("not on the system bus: %s; vitalctl works without", why);
	if (sd_event_source_set_time_relative(c->retry, wait) < 0 ||
	    sd_event_source_set_enabled(c->retry, SD_EVENT_ONESHOT) < 0)
		log_warning("cannot plan to return to the system bus");
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct control *c = userdata;
	int r = connect_system(c);

	if (r < 0)
		lose_system(c, r == -ENOENT || r == -ECONNREFUSED ? "there is none" : strerror(-r));
	return 0;
}

static int on_system_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	lose_system(userdata, "the bus went away");
	return 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct control *c = userdata;

	if (sd_bus_message_is_method_error(m, NULL)) {
		lose_system(c, sd_bus_message_get_error(m)->message
				       ? sd_bus_message_get_error(m)->message
				       : "may not be " CONTROL_BUS_NAME);
		return 0;
	}
	if (c->problem[0])
		log_notice("on the system bus again as " CONTROL_BUS_NAME);
	c->named = true;
	c->problem[0] = '\0';
	backoff_reset(&c->backoff);
	return 0;
}

static int connect_system(struct control *c)
{
	int r = sd_bus_open_system_with_description(&c->system, "system");

	if (r < 0)
		return r;
	if ((r = sd_bus_add_object_vtable(c->system, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					  vtable, c)) < 0 ||
	    (r = sd_bus_match_signal_async(c->system, NULL, "org.freedesktop.DBus.Local",
					   "/org/freedesktop/DBus/Local",
					   "org.freedesktop.DBus.Local", "Disconnected",
					   on_system_gone, NULL, c)) < 0 ||
	    (r = sd_bus_request_name_async(c->system, NULL, CONTROL_BUS_NAME, 0, on_name, c)) < 0)
		return r;
	return sd_bus_attach_event(c->system, c->event, SD_EVENT_PRIORITY_NORMAL);
}

static int start_system(struct control *c)
{
	int r;

	if (!c->system_bus)
		return 0;
	r = sd_event_add_time_relative(c->event, &c->retry, CLOCK_BOOTTIME, 0, 0, on_retry, c);
	return r < 0 ? r : 0;
}

/* --- the whole ----------------------------------------------------------------------------- */

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	c->audits = audits_free(c->audits);
	(void)sd_event_source_disable_unref(c->retry);
	(void)sd_bus_flush_close_unref(c->system);
	for (size_t i = 0; i < PEERS_MAX; i++)
		peer_close(&c->peers[i]);
	(void)sd_event_source_disable_unref(c->accept);
	if (c->fd >= 0) {
		(void)unlink(c->path); /* if not, the next daemon does it */
		(void)close(c->fd);    /* a listening socket holds no data */
	}
	free(c->path);
	(void)sd_event_unref(c->event);
	free(c);
	return NULL;
}

int control_new(sd_event *event, const struct control_options *options,
		const struct control_handler *handler, struct control **ret)
{
	_cleanup_(control_freep) struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fd = -1;
	for (size_t i = 0; i < PEERS_MAX; i++)
		c->peers[i].control = c;
	c->event = sd_event_ref(event);
	c->handler = *handler;
	c->system_bus = options->system_bus;
	backoff_init(&c->backoff, USEC_PER_SEC, 60 * USEC_PER_SEC, (uint64_t)getpid());
	if (asprintf(&c->path, "%s/%s", options->runtime_dir, CONTROL_SOCKET) < 0) {
		c->path = NULL;
		return -ENOMEM;
	}
	find_groups(c);
	r = audits_new(event, handler, &c->audits);
	if (r >= 0)
		r = listen_socket(c);
	if (r >= 0)
		r = start_system(c);
	if (r < 0)
		return r;
	*ret = TAKE(c);
	return 0;
}

static int emit(sd_bus *bus, const struct sync_event *e)
{
	_cleanup_(freep) char *reason =
		table_utf8(e->reason); /* it may have been cut in a letter */

	if (!reason)
		return -ENOMEM;
	return sd_bus_emit_signal(bus, CONTROL_OBJECT, CONTROL_INTERFACE, "SyncEvent",
				  CONTROL_EVENT_SIGNATURE, e->wall_us,
				  sync_event_type_name(e->type), kind_name(e->kind),
				  (int)e->success, e->count, e->retries, e->duration_ms, e->sink,
				  reason, e->number, e->latency_ms);
}

void control_event(struct control *c, const struct sync_event *event)
{
	uint64_t queued;

	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &c->peers[i];

		if (!p->bus || !p->subscribed)
			continue;
		/* who does not read is not waited for */
		if (sd_bus_get_n_queued_write(p->bus, &queued) < 0 || queued > QUEUED_MAX ||
		    emit(p->bus, event) < 0)
			peer_close(p);
	}
	if (c->named)
		(void)emit(c->system, event); /* a lost bus tells on_system_gone() */
}

const char *control_problem(const struct control *c)
{
	return c->problem[0] ? c->problem : NULL;
}

/*
 * Who is asked, in this order, each with a limit of its own:
 *
 *    RUNTIME_DIR/control   the private socket: no bus needed, works in a demo, or when dbus is down
 *    org.vitald            the system bus: for those whom only its policy knows (group sudo)
 *    the store itself      read only; says less, but never nothing
 *
 * A daemon that hangs (SIGSTOP, a dead card) accepts connections in its backlog and never says a
 * word, so everything is asked with a deadline: sd-bus would wait 25 s to authenticate. Its
 * heartbeat in the tail then tells how long it has been silent.
 *
 * Root becomes the owner of the state directory before it opens the store: SQLite makes files
 * beside a database that it reads, and a file of root's would lock the daemon out of its own store.
 */
#include "ctl/client.h"

#include "store/look.h"
#include "util/become.h"
#include "util/human.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define PATIENCE       (5 * USEC_PER_SEC)
#define PATIENCE_AUDIT (600 * USEC_PER_SEC) /* reads every record there is */

/* How an attempt to reach the daemon ended. */
enum reach { REACHED, NOBODY, FORBIDDEN, SILENT };

struct client {
	const char *runtime_dir, *state_dir;
	const struct config *config;
	sd_bus *bus;
	const char *name; /* of the daemon on that bus; NULL on the private socket */
	struct owner_info owner;
	struct control_absence absence;
	enum reach reach; /* how the last attempt of client_query() ended */
	bool spared;	  /* there is none until we end */
	client_event_cb event;
	void *event_userdata;
	int event_r; /* < 0: the callback wants no more */
	char problem[320];
};

struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	c->bus = sd_bus_close_unref(c->bus);
	free(c);
	return NULL;
}

int client_new(const char *runtime_dir, const char *state_dir, const struct config *config,
	       struct client **ret)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->runtime_dir = runtime_dir;
	c->state_dir = state_dir;
	c->config = config;
	*ret = c;
	return 0;
}

const char *client_problem(const struct client *c)
{
	return c->problem;
}

/* Gets the connection through authentication. */
static enum reach wait_ready(sd_bus *bus)
{
	usec_t now = clock_boot_usec(), end = now + PATIENCE;
	int r;

	while ((r = sd_bus_is_ready(bus)) == 0) {
		r = sd_bus_process(bus, NULL);
		if (r < 0)
			return r == -EACCES || r == -EPERM || r == -ECONNRESET ? FORBIDDEN : NOBODY;
		now = clock_boot_usec();
		if (now >= end)
			return SILENT;
		if (r == 0)
			(void)sd_bus_wait(bus, end - now); /* process() tells what went wrong */
	}
	return r > 0 ? REACHED : FORBIDDEN; /* closed while we introduced ourselves */
}

static enum reach connect_socket(const char *runtime_dir, int *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	enum reach reach = REACHED;
	int fd;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", runtime_dir,
		     CONTROL_SOCKET) >= (int)sizeof(address.sun_path))
		return NOBODY;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return NOBODY;
	/* EAGAIN: the backlog is full of people whom nobody attends to */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		reach = errno == EAGAIN			    ? SILENT
			: errno == EACCES || errno == EPERM ? FORBIDDEN
							    : NOBODY;
	if (reach == REACHED)
		*ret = fd;
	else
		(void)close(fd); /* nothing was sent */
	return reach;
}

/* It closed on us: we may not ask, or it has just ended, and then it does not listen any more. */
static enum reach after_closing(const char *runtime_dir)
{
	enum reach reach;
	int fd = -1;

	reach = connect_socket(runtime_dir, &fd);
	if (reach == REACHED)
		(void)close(fd); /* nothing was sent */
	return reach == NOBODY ? NOBODY : FORBIDDEN;
}

static enum reach reach_private(struct client *c)
{
	enum reach reach;
	int fd = -1;

	reach = connect_socket(c->runtime_dir, &fd);
	if (reach != REACHED)
		return reach;
	if (sd_bus_new(&c->bus) < 0 || sd_bus_set_fd(c->bus, fd, fd) < 0) {
		(void)close(fd); /* nothing was sent */
		return NOBODY;
	}
	c->name = NULL;
	reach = sd_bus_start(c->bus) < 0 ? NOBODY : wait_ready(c->bus);
	return reach == FORBIDDEN ? after_closing(c->runtime_dir) : reach;
}

static enum reach reach_system(struct client *c)
{
	c->name = CONTROL_BUS_NAME;
	return sd_bus_open_system(&c->bus) < 0 ? NOBODY : wait_ready(c->bus);
}

static enum reach reach_of_error(const sd_bus_error *error, int r)
{
	if (sd_bus_error_has_names(error, SD_BUS_ERROR_SERVICE_UNKNOWN,
				   SD_BUS_ERROR_NAME_HAS_NO_OWNER, SD_BUS_ERROR_DISCONNECTED,
				   SD_BUS_ERROR_NO_SERVER))
		return NOBODY;
	if (sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED))
		return FORBIDDEN;
	return r == -ETIMEDOUT || sd_bus_error_has_names(error, SD_BUS_ERROR_NO_REPLY,
							 SD_BUS_ERROR_TIMEOUT)
		       ? SILENT
	       : r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN ? NOBODY
								   : REACHED;
}

struct question {
	const char *member;
	const char *which;  /* of Query; Accept: which sink */
	bool yes;	    /* critical of Sync, everything of Reconcile */
	const char *device; /* of Capture */
	int socket;
	const struct control_rewind *rewind; /* of Rewind */
};

static int put_rewind(const struct control_rewind *w, sd_bus_message *m)
{
	char stream[UUID_STRING_SIZE];

	uuid_format(&w->stream, stream);
	return sd_bus_message_append(m, "sstxb", w->sink, stream, w->after_seq, w->since_us,
				     (int)w->dry_run);
}

static int put_arguments(const struct question *q, sd_bus_message *m)
{
	if (q->rewind)
		return put_rewind(q->rewind, m);
	if (q->which)
		return sd_bus_message_append(m, "s", q->which);
	if (q->device)
		return sd_bus_message_append(m, "hs", q->socket, q->device);
	return sd_bus_message_append(m, "b", (int)q->yes);
}

/* REACHED with *ret_r 0, CLIENT_E_REFUSED (problem says why) or < 0. */
static enum reach ask(struct client *c, const struct question *q, struct tables *ret, int *ret_r)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	bool audit = q->which && streq(q->which, "audit");
	enum reach reach;
	int r = sd_bus_message_new_method_call(c->bus, &m, c->name, CONTROL_OBJECT,
					       CONTROL_INTERFACE, q->member);

	if (r >= 0)
		r = put_arguments(q, m);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, 0);
	if (r >= 0)
		r = sd_bus_call(c->bus, m, audit ? PATIENCE_AUDIT : PATIENCE, &error, &reply);
	if (r < 0) {
		reach = reach_of_error(&error, r);
		(void)snprintf(c->problem, sizeof(c->problem), "vitald answers: %s",
			       error.message ? error.message : strerror(-r));
		*ret_r = sd_bus_error_is_set(&error) ? CLIENT_E_REFUSED : r;
		return reach;
	}
	r = tables_read(reply, ret);
	if (r == TABLES_E_MALFORMED)
		(void)snprintf(c->problem, sizeof(c->problem),
			       "vitald answers in a way that this vitalctl does not know");
	*ret_r = r == TABLES_E_MALFORMED ? CLIENT_E_REFUSED : r;
	return REACHED;
}

/* Asks over the connection that stands, else over the private socket, else over the system bus. */
static enum reach ask_daemon(struct client *c, const struct question *q, struct tables *ret,
			     int *ret_r)
{
	size_t n_ways = c->config && !c->config->system_bus ? 1 : 2;
	enum reach reach = NOBODY, worst = NOBODY;

	if (c->bus)
		reach = ask(c, q, ret, ret_r);
	for (size_t i = 0; reach != REACHED && i < n_ways; i++) {
		c->bus = sd_bus_close_unref(c->bus);
		reach = i == 0 ? reach_private(c) : reach_system(c);
		if (reach == REACHED) {
			reach = ask(c, q, ret, ret_r);
			if (reach == NOBODY && worst == FORBIDDEN)
				worst = NOBODY; /* a closed directory says less than the bus */
		}
		worst = MAX(worst, reach);
	}
	if (reach == REACHED)
		return REACHED;
	c->bus = sd_bus_close_unref(c->bus);
	return worst;
}

static void explain(struct client *c, enum reach reach)
{
	struct control_absence *a = &c->absence;
	usec_t now = clock_boot_usec();
	char what[CONTROL_ABSENCE_SIZE];

	store_owner(c->state_dir, c->runtime_dir, &c->owner);
	*a = (struct control_absence){.pid = c->owner.pid, .role = c->owner.role};
	if (c->owner.heartbeat_us && c->owner.heartbeat_us <= now)
		a->silent_us = now - c->owner.heartbeat_us;
	if (reach == SILENT) {
		a->kind = CONTROL_HUNG;
		a->silent_us = MAX(a->silent_us, PATIENCE); /* we waited so long ourselves */
	} else if (reach == FORBIDDEN) {
		a->kind = CONTROL_FORBIDDEN;
	} else if (!c->owner.locked) {
		a->kind = CONTROL_DEAD;
	} else if (!c->owner.role[0] || streq(c->owner.role, "daemon")) {
		a->kind = CONTROL_STARTING;
	} else {
		a->kind = CONTROL_WORKING;
	}
	control_say_absence(a, what);
	(void)snprintf(c->problem, sizeof(c->problem), "%s", what); /* fits */
}

static int look(struct client *c, struct store **ret)
{
	if (become_owner_of(c->state_dir) < 0)
		return STORE_E_DENIED;
	return store_look(c->state_dir, c->runtime_dir, ret);
}

static void say_store(struct control_absence *a, const char *what, const char *consequence,
		      const char *remedy)
{
	(void)snprintf(a->store_what, sizeof(a->store_what), "%s", what);
	(void)snprintf(a->store_remedy, sizeof(a->store_remedy), "%s", remedy);
	a->store_consequence = consequence;
}

/* Is it ours, and somebody put a file there that is not? */
static bool is_somebody_elses(const struct client *c, struct store_whose *ret)
{
	struct stat st;

	return stat(c->state_dir, &st) == 0 && st.st_uid == geteuid() &&
	       store_whose(c->state_dir, ret);
}

/* What is the matter with the store, for `status`, and appended to the problem for all others. */
static int explain_store(struct client *c, int r)
{
	size_t n = strlen(c->problem), room = sizeof(c->problem) - n;
	struct control_absence *a = &c->absence;
	char *end = c->problem + n;
	struct store_whose whose;

	if (is_somebody_elses(c, &whose)) {
		say_store(a, whose.what, "vitald cannot start; nothing in the store was changed",
			  whose.remedy);
		(void)snprintf(end, room, ", and %s; %s", whose.what, whose.remedy);
		return CLIENT_E_STORE;
	}
	switch (r) {
	case STORE_E_ABSENT:
		(void)snprintf(end, room, ", and there is no store in %s", c->state_dir);
		return CLIENT_E_ABSENT;
	case STORE_E_DENIED:
		say_store(a, "this user may not read the store",
			  "what is kept in it is not shown here", "use sudo");
		(void)snprintf(end, room, ", and this user may not read its store: use sudo");
		return CLIENT_E_DENIED;
	case STORE_E_NEWER:
		say_store(a, "the store was written by a newer vitald",
			  "this one cannot start with it, and did not touch it: nothing is lost",
			  "install the newer vitald again; to go back, `vitalctl store downgrade` "
			  "of the newer one: `man vitald`");
		(void)snprintf(end, room, ", and the store was written by a newer vitald");
		return CLIENT_E_STORE;
	case STORE_E_CORRUPT:
		say_store(a, "the store is damaged",
			  "nothing of it was deleted; when vitald starts it begins a new one and "
			  "brings over what can be read",
			  "start it; is the card failing? `sudo dmesg | tail -50`");
		(void)snprintf(end, room, ", and the store in %s is damaged", c->state_dir);
		return CLIENT_E_STORE;
	default: return r < 0 ? r : -EIO;
	}
}

int client_query(struct client *c, const char *which, struct tables *ret)
{
	const struct question q = {.member = "Query", .which = which};
	_cleanup_(store_closep) struct store *store = NULL;
	enum reach reach;
	int r = 0;

	c->problem[0] = '\0';
	reach = c->spared ? c->reach : ask_daemon(c, &q, ret, &r);
	c->reach = reach;
	if (reach == REACHED)
		return r;
	explain(c, reach);
	r = look(c, &store);
	if (r)
		r = explain_store(c, r);
	/* of a daemon that may be well, who may not ask says nothing; of a dead one, that it is */
	if (r && (r < 0 || reach == FORBIDDEN || !streq(which, "status")))
		return r;
	return control_tables_from_store(store, c->config, &c->absence, which, ret);
}

void client_spare(struct client *c)
{
	c->spared = c->reach != REACHED;
}

/* What only the daemon can do. */
static int client_do(struct client *c, const struct question *q, struct tables *ret)
{
	enum reach reach;
	int r = 0;

	c->problem[0] = '\0';
	reach = c->spared ? c->reach : ask_daemon(c, q, ret, &r);
	if (reach == REACHED)
		return r;
	explain(c, reach);
	return reach == FORBIDDEN ? CLIENT_E_DENIED : CLIENT_E_ABSENT;
}

int client_ask(struct client *c, const char *which, struct tables *ret)
{
	const struct question q = {.member = "Query", .which = which};

	return client_do(c, &q, ret);
}

int client_accept(struct client *c, const char *sink, struct tables *ret)
{
	const struct question q = {.member = "Accept", .which = sink};

	return client_do(c, &q, ret);
}

int client_rewind(struct client *c, const struct control_rewind *wish, struct tables *ret)
{
	const struct question q = {.member = "Rewind", .rewind = wish};

	return client_do(c, &q, ret);
}

int client_sync(struct client *c, bool critical, struct tables *ret)
{
	const struct question q = {.member = "Sync", .yes = critical};

	return client_do(c, &q, ret);
}

int client_reconcile(struct client *c, bool everything, struct tables *ret)
{
	const struct question q = {.member = "Reconcile", .yes = everything};

	return client_do(c, &q, ret);
}

int client_capture(struct client *c, int socket, const char *device, struct tables *ret)
{
	const struct question q = {.member = "Capture", .socket = socket, .device = device};

	return client_do(c, &q, ret);
}

static int put_event(sd_bus_message *m, struct tables *ret)
{
	struct table *t = tables_add(ret, "events", CONTROL_EVENTS_COLUMNS);
	const char *type, *kind, *sink, *reason;
	uint32_t count, retries, duration_ms, latency_ms;
	uint64_t number;
	int64_t wall_us;
	int success, r = sd_bus_message_read(m, CONTROL_EVENT_SIGNATURE, &wall_us, &type, &kind,
					     &success, &count, &retries, &duration_ms, &sink,
					     &reason, &number, &latency_ms);

	if (r < 0)
		return r;
	table_u64(t, number);
	table_i64(t, wall_us);
	table_string(t, type);
	table_string(t, kind);
	table_bool(t, success);
	table_u64(t, count);
	table_u64(t, retries);
	table_u64(t, duration_ms * USEC_PER_MSEC);
	if (streq(type, "immediate_success"))
		table_u64(t, latency_ms * USEC_PER_MSEC);
	else
		table_null(t);
	table_string(t, sink);
	table_string(t, reason);
	return tables_failed(ret) ? -ENOMEM : 0;
}

static int on_event(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(tables_done) struct tables event = {0};
	struct client *c = userdata;

	if (c->event_r >= 0)
		c->event_r = put_event(m, &event);
	if (c->event_r >= 0)
		c->event_r = c->event(c->event_userdata, &event);
	return 0;
}

/* On the private socket by name of its own; on the system bus the match is all it needs. */
int client_subscribe(struct client *c, client_event_cb cb, void *userdata)
{
	_cleanup_(tables_done) struct tables unused = {0};
	int r = client_ask(c, "sinks", &unused); /* connects, one way or the other */

	if (r)
		return r;
	c->event = cb;
	c->event_userdata = userdata;
	r = sd_bus_match_signal(c->bus, NULL, c->name, CONTROL_OBJECT, CONTROL_INTERFACE,
				"SyncEvent", on_event, c);
	if (r >= 0)
		r = sd_bus_call_method(c->bus, c->name, CONTROL_OBJECT, CONTROL_INTERFACE,
				       "Subscribe", NULL, NULL, "");
	return r < 0 ? r : 0;
}

int client_listen(struct client *c)
{
	int r = 0;

	while (c->event_r >= 0) {
		r = sd_bus_process(c->bus, NULL);
		if (r == 0)
			r = sd_bus_wait(c->bus, UINT64_MAX);
		if (r < 0 && r != -EINTR)
			break;
	}
	if (c->event_r < 0)
		return c->event_r;
	(void)snprintf(c->problem, sizeof(c->problem), "vitald has ended");
	return CLIENT_E_ABSENT;
}

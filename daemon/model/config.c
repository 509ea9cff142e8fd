/*
 * From the text of the configuration to struct config, by the table in config_key.c. It promises: a
 * config that is handed out is whole and makes sense, or none is handed out and all mistakes are
 * told, each with its place and with what to write. Values are never repeated in a mistake: a token
 * in the wrong line must not reach the journal.
 *
 *   file -> entries (util/ini.c) -> one setter a key -> dependent defaults -> cross-checks
 *
 * Drop-ins are read after the file, in the order of their names, and may set a key again; in one
 * file a key stands once. Where each key was set last is kept in `places` for the cross-checks,
 * and goes with the config, to be shown.
 */
#include "model/config.h"

#include "model/config_key.h"
#include "model/value.h"
#include "util/file.h"
#include "util/ini.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

enum { SINK_NAME_MAX = 32, FILES_MAX = 2 + CONFIG_MAX_DROP_INS /* and their directory */ };

/* Where something was last written. `file` is one of reader.files and compared by pointer. */
struct place {
	const char *file;
	unsigned line;
};

struct places {
	struct place heading;
	struct place keys[CONFIG_KEYS_MAX]; /* by index in the table */
};

/* Where each key was set last; none: the default. */
struct config_origins {
	char *files[FILES_MAX];
	size_t n_files, n;
	struct config_origin {
		uint8_t key;   /* in the table */
		uint8_t index; /* of the sink or device */
		uint8_t file;
		unsigned line;
	} list[];
};

struct reader {
	struct config *config;
	struct buf *problems;
	size_t before; /* bytes in `problems` that are not ours */
	char *files[FILES_MAX];
	size_t n_files;
	struct places global;
	struct places sinks[CONFIG_MAX_SINKS];
	struct places devices[CONFIG_MAX_DEVICES];
};

static struct reader *reader_free(struct reader *r)
{
	if (!r)
		return NULL;
	config_free(r->config);
	for (size_t i = 0; i < r->n_files; i++)
		free(r->files[i]);
	free(r);
	return NULL;
}
DEFINE_CLEANUP(struct reader *, reader_free)

_printf_(3, 4) static void complain(struct reader *r, struct place at, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* our words and bounded names: it fits */
	va_end(ap);
	buf_string(r->problems, at.file);
	if (at.line > 0)
		buf_printf(r->problems, ":%u", at.line);
	buf_printf(r->problems, ": %s\n", text);
}

/* Keeps the name of a file for the places that speak of it. */
static int name_file(struct reader *r, const char *name, const char **ret)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	r->files[r->n_files++] = copy;
	*ret = copy;
	return 0;
}

static size_t index_of(const struct config_key *key)
{
	size_t n;

	return (size_t)(key - config_keys(&n));
}

static bool is_set(const struct places *places, const char *section, const char *name)
{
	return places->keys[index_of(config_key_find(section, name))].file;
}

static struct place place_of(const struct places *places, const char *section, const char *name)
{
	struct place at = places->keys[index_of(config_key_find(section, name))];

	return at.file ? at : places->heading;
}

/* ---- [sink "name"] and [device "address"] ---- */

static bool is_sink_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= SINK_NAME_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

/* > 0: a mistake, and it was told. */
static int open_sink(struct reader *r, const char *name, struct place at, size_t *ret)
{
	struct config *c = r->config;
	struct config_sink *sink;

	if (!name || !is_sink_name(name)) {
		complain(r, at,
			 "a sink needs a name; write [sink \"name\"] with 1 to %d of the "
			 "characters a-z 0-9 _ -",
			 SINK_NAME_MAX);
		return CONFIG_E_BAD;
	}
	for (size_t i = 0; i < c->n_sinks; i++) {
		if (streq(c->sinks[i].name, name)) {
			*ret = i;
			return 0;
		}
	}
	if (c->n_sinks == CONFIG_MAX_SINKS) {
		complain(r, at, "there may be at most %d sinks", CONFIG_MAX_SINKS);
		return CONFIG_E_BAD;
	}
	sink = reallocarray(c->sinks, c->n_sinks + 1, sizeof(*c->sinks));
	if (!sink)
		return -ENOMEM;
	c->sinks = sink;
	sink += c->n_sinks;
	*sink = (struct config_sink){.required = true, .max_body = 256 * 1024};
	r->sinks[c->n_sinks].heading = at;
	*ret = c->n_sinks++;
	sink->name = strdup(name);
	return sink->name ? 0 : -ENOMEM;
}

static int open_device(struct reader *r, const char *text, struct place at, size_t *ret)
{
	char address[DEVICE_ADDRESS_SIZE];
	struct config *c = r->config;
	struct config_device *device;

	if (!text || !value_address(text, address)) {
		complain(r, at,
			 "a device is named by its address; write [device \"a0:b1:c2:d3:e4:f5\"]");
		return CONFIG_E_BAD;
	}
	for (size_t i = 0; i < c->n_devices; i++) {
		if (streq(c->devices[i].address, address)) {
			*ret = i;
			return 0;
		}
	}
	if (c->n_devices == CONFIG_MAX_DEVICES) {
		complain(r, at, "there may be at most %d devices", CONFIG_MAX_DEVICES);
		return CONFIG_E_BAD;
	}
	device = reallocarray(c->devices, c->n_devices + 1, sizeof(*c->devices));
	if (!device)
		return -ENOMEM;
	c->devices = device;
	device += c->n_devices;
	*device = (struct config_device){.kinds = CONFIG_KINDS_DEFAULT};
	memcpy(device->address, address, sizeof(address));
	r->devices[c->n_devices].heading = at;
	*ret = c->n_devices++;
	return 0;
}

static bool is_section(const char *name)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);

	for (size_t i = 0; i < n; i++)
		if (streq(keys[i].section, name))
			return true;
	return false;
}

/* The struct that keys of this entry's section belong to, and where its places are kept. */
static int open_section(struct reader *r, const struct ini_entry *e, struct place at,
			void **ret_scope, struct places **ret_places)
{
	size_t i;
	int k;

	if (streq(e->section, "sink")) {
		k = open_sink(r, e->arg, at, &i);
		if (k == 0) {
			*ret_scope = &r->config->sinks[i];
			*ret_places = &r->sinks[i];
		}
		return k;
	}
	if (streq(e->section, "device")) {
		k = open_device(r, e->arg, at, &i);
		if (k == 0) {
			*ret_scope = &r->config->devices[i];
			*ret_places = &r->devices[i];
		}
		return k;
	}
	if (!is_section(e->section)) {
		complain(r, at,
			 "there is no section [%s]; there are daemon, source, bluetooth, sync, "
			 "time, control, log, sink and device",
			 e->section);
		return CONFIG_E_BAD;
	}
	if (e->arg) {
		complain(r, at, "this section has no name; write [%s]", e->section);
		return CONFIG_E_BAD;
	}
	*ret_scope = r->config;
	*ret_places = &r->global;
	return 0;
}

/* ---- keys ---- */

static void complain_unknown(struct reader *r, const struct ini_entry *e, struct place at)
{
	const struct config_key *near = config_key_near(e->section, e->key);

	if (near)
		complain(r, at, "there is no key %s in [%s]; did you mean %s?", e->key, e->section,
			 near->name);
	else
		complain(r, at, "there is no key %s in [%s]; see vitald.conf(5)", e->key,
			 e->section);
}

static int set_key(struct reader *r, const struct ini_entry *e, struct place at, void *scope,
		   struct places *places)
{
	const struct config_key *key = config_key_find(e->section, e->key);
	struct buf why = {0};
	struct place *last;
	int k;

	if (!key) {
		complain_unknown(r, e, at);
		return 0;
	}
	last = &places->keys[index_of(key)];
	if (last->file == at.file) { /* [device "A0:..."] and [device "a0:..."] are one */
		complain(r, at, "%s is already set in line %u; keep one of the two", e->key,
			 last->line);
		return 0;
	}
	k = config_key_set(key, e->value, scope, &why);
	if (k > 0)
		complain(r, at, "%s %.*s%s", e->key, (int)why.size, (const char *)why.data,
			 strstr(e->value, " #") || strstr(e->value, " ;")
				 ? " (a comment needs a line of its own)"
				 : "");
	k = why.failed ? -ENOMEM : k;
	buf_done(&why);
	*last = at;
	return MIN(k, 0);
}

static int read_entries(struct reader *r, const char *file, const struct ini *ini)
{
	struct places *places = NULL;
	void *scope = NULL;
	size_t n;
	const struct ini_entry *e = ini_entries(ini, &n);
	int k = 0;

	for (size_t i = 0; i < n && k >= 0; i++, e++) {
		struct place at = {file, e->line};

		if (!e->key) {
			scope = NULL;
			k = open_section(r, e, at, &scope, &places);
		} else if (scope) {
			k = set_key(r, e, at, scope, places);
		}
	}
	return MIN(k, 0);
}

static int read_text(struct reader *r, const char *name, const void *data, size_t size)
{
	_cleanup_(ini_freep) struct ini *ini = NULL;
	const char *file;
	int k = name_file(r, name, &file);

	if (k == 0)
		k = ini_parse(file, data, size, r->problems, &ini);
	return k < 0 ? k : read_entries(r, file, ini);
}

/* ---- files ---- */

static int complain_file(struct reader *r, const char *name, const char *what)
{
	const char *file;
	int k = name_file(r, name, &file);

	if (k == 0)
		complain(r, (struct place){file, 0}, "%s", what);
	return k;
}

static int complain_unreadable(struct reader *r, const char *name, int error)
{
	char what[128];

	(void)snprintf(what, sizeof(what), "cannot be read: %s", strerror(-error)); /* fits */
	return complain_file(r, name, what);
}

static int read_file(struct reader *r, const char *path, bool may_be_missing)
{
	struct buf text = {0};
	int k = file_read(path, INI_FILE_MAX + 1, &text);

	if (k == 0)
		k = read_text(r, path, text.data, text.size);
	else if (k == -ENOENT && may_be_missing)
		k = 0;
	else if (k != -ENOMEM)
		k = complain_unreadable(r, path, k);
	buf_done(&text);
	return k;
}

static int read_drop_ins(struct reader *r, const char *path)
{
	_cleanup_(file_list_freep) struct file_list *list = NULL;
	_cleanup_(freep) char *dir = NULL;
	int k;

	if (asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	k = file_list(dir, ".conf", CONFIG_MAX_DROP_INS, &list);
	if (k == FILE_E_TOO_MANY)
		return complain_file(r, dir, "there are too many drop-ins; put some into one file");
	if (k == -ENOENT || k == -ENOTDIR)
		return 0;
	if (k < 0)
		return k == -ENOMEM ? k : complain_unreadable(r, dir, k);
	for (size_t i = 0; i < list->n && k == 0; i++)
		k = read_file(r, list->paths[i], false);
	return k;
}

/* ---- the whole ---- */

static int set_default(char **field, const char *value)
{
	if (!*field)
		*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int set_host_name(char **field)
{
	char name[65] = "";

	if (gethostname(name, sizeof(name) - 1) < 0 || !*name)
		return set_default(field, "vitald");
	return set_default(field, name);
}

/* Before any file: what config/vitald.conf shows as comments. Strings and auto_enroll come last. */
static struct config config_defaults(void)
{
	return (struct config){
		.source = CONFIG_SOURCE_BLUEZ,
		.max_links = 5,
		.durability_window = USEC_PER_SEC,
		.lazy_commit = 3600 * USEC_PER_SEC,
		.linger = 250 * USEC_PER_MSEC,
		.immediate_retry_delays = {0, USEC_PER_SEC, 3 * USEC_PER_SEC},
		.n_immediate_retry_delays = 3,
		.immediate_timeout = 10 * USEC_PER_SEC,
		.background_timeout = 60 * USEC_PER_SEC,
		.background_interval = 1800 * USEC_PER_SEC,
		.backoff_min = 2 * USEC_PER_SEC,
		.backoff_max = 900 * USEC_PER_SEC,
		.probe_interval = 900 * USEC_PER_SEC,
		.max_batches = 10000,
		.max_size = UINT64_C(2) << 30,
		.retention = UINT64_C(7) * 86400 * USEC_PER_SEC,
		.free_reserve = UINT64_C(256) << 20,
		.reconcile_interval = UINT64_C(6) * 3600 * USEC_PER_SEC,
		.reconcile_window = UINT64_C(24) * 3600 * USEC_PER_SEC,
		.reconcile_all_after = UINT64_C(48) * 3600 * USEC_PER_SEC,
		.immediate = true,
		.queue = true,
		.reconcile = true,
		.timers = true,
		.tail_size = (size_t)4 << 20,
		.clock_wait = 120 * USEC_PER_SEC,
		.system_bus = true,
		.log_level = LOG_INFO,
		.summary_interval = 900 * USEC_PER_SEC,
	};
}

static int reader_new(struct buf *problems, struct reader **ret)
{
	_cleanup_(reader_freep) struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->config = calloc(1, sizeof(*r->config));
	if (!r->config)
		return -ENOMEM;
	*r->config = config_defaults();
	r->problems = problems;
	r->before = problems->size;
	*ret = TAKE(r);
	return 0;
}

/* What nobody wrote and what depends on something that somebody did. */
static int fill_in(struct reader *r)
{
	struct config *c = r->config;
	_cleanup_(freep) char *socket = NULL;
	int k;

	k = set_default(&c->state_dir, "/var/lib/vitald");
	k = k < 0 ? k : set_default(&c->runtime_dir, "/run/vitald");
	k = k < 0 ? k : set_host_name(&c->gateway);
	if (k < 0)
		return k;
	if (asprintf(&socket, "%s/straps", c->runtime_dir) < 0) {
		socket = NULL;
		return -ENOMEM;
	}
	k = set_default(&c->socket, socket);
	for (size_t i = 0; i < c->n_devices && k == 0; i++)
		k = set_default(&c->devices[i].subject, "");
	if (!is_set(&r->global, "source", "auto_enroll"))
		c->auto_enroll =
			c->source == CONFIG_SOURCE_SIMULATE || c->source == CONFIG_SOURCE_REPLAY;
	return k;
}

static void check_sink(struct reader *r, const struct config_sink *s, const struct places *places)
{
	if (!s->url && !is_set(places, "sink", "url"))
		complain(r, place_of(places, "sink", "url"),
			 "sink %s has no url; write url = https://...", s->name);
	if (s->client_cert && !s->client_key)
		complain(r, place_of(places, "sink", "client_cert"),
			 "client_cert needs its key; write client_key = /path as well");
	if (s->client_key && !s->client_cert)
		complain(r, place_of(places, "sink", "client_key"),
			 "client_key needs its certificate; write client_cert = /path as well");
}

/*
 * A path that is too long for a socket comes from a long runtime_dir; a long `socket` was refused.
 */
static void check(struct reader *r)
{
	struct config *c = r->config;
	const struct places *g = &r->global;

	if (c->backoff_min > c->backoff_max)
		complain(r,
			 place_of(g, "sync",
				  is_set(g, "sync", "backoff_max") ? "backoff_max" : "backoff_min"),
			 "backoff_max is shorter than backoff_min; write a longer backoff_max");
	if (c->lazy_commit < c->durability_window)
		complain(r,
			 place_of(g, "sync",
				  is_set(g, "sync", "lazy_commit") ? "lazy_commit"
								   : "durability_window"),
			 "lazy_commit is shorter than durability_window; write a longer "
			 "lazy_commit");
	if (c->source == CONFIG_SOURCE_SIMULATE &&
	    strlen(c->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		complain(r, place_of(g, "daemon", "runtime_dir"),
			 "runtime_dir is too long for the socket in it; write a shorter one, or "
			 "socket "
			 "= /short/path in [source]");
	if (c->source == CONFIG_SOURCE_REPLAY && !c->file)
		complain(r, place_of(g, "source", "type"),
			 "replay needs a capture; write file = /path in [source] as well");
	for (size_t i = 0; i < c->n_sinks; i++)
		check_sink(r, &c->sinks[i], &r->sinks[i]);
}

/* What `places` says of one struct of the config. */
static void keep_origins(struct config_origins *o, const struct reader *r,
			 const struct places *places, enum config_scope scope, size_t index)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);

	for (size_t key = 0; key < n; key++) {
		struct place at = places->keys[key];

		if (keys[key].scope != scope || !at.file)
			continue;
		for (size_t file = 0; file < r->n_files; file++)
			if (at.file == r->files[file])
				o->list[o->n++] =
					(struct config_origin){(uint8_t)key, (uint8_t)index,
							       (uint8_t)file, at.line};
	}
}

/* Every key that was set, once: no more than the keys that there are, in each struct. */
static int keep_places(struct reader *r)
{
	struct config *c = r->config;
	size_t most = (1 + c->n_sinks + c->n_devices) * CONFIG_KEYS_MAX;
	struct config_origins *o = calloc(1, sizeof(*o) + most * sizeof(o->list[0]));

	if (!o)
		return -ENOMEM;
	keep_origins(o, r, &r->global, CONFIG_SCOPE_CONFIG, 0);
	for (size_t i = 0; i < c->n_sinks; i++)
		keep_origins(o, r, &r->sinks[i], CONFIG_SCOPE_SINK, i);
	for (size_t i = 0; i < c->n_devices; i++)
		keep_origins(o, r, &r->devices[i], CONFIG_SCOPE_DEVICE, i);
	memcpy(o->files, r->files, sizeof(o->files));
	o->n_files = r->n_files;
	r->n_files = 0; /* they are its own now */
	c->origins = o;
	return 0;
}

static int finish(struct reader *r, struct config **ret)
{
	int k = fill_in(r);

	if (k < 0)
		return k;
	check(r);
	if (r->problems->failed)
		return -ENOMEM;
	if (r->problems->size > r->before)
		return CONFIG_E_BAD;
	k = keep_places(r);
	if (k < 0)
		return k;
	*ret = TAKE(r->config);
	return 0;
}

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_devices; i++) {
		free(c->devices[i].name);
		free(c->devices[i].subject);
	}
	for (size_t i = 0; i < c->n_sinks; i++) {
		struct config_sink *s = &c->sinks[i];
		char *strings[] = {s->name,	   s->url,	  s->token_file, s->ca_file,
				   s->client_cert, s->client_key, s->proxy,	 s->interface};

		for (size_t j = 0; j < ARRAY_SIZE(strings); j++)
			free(strings[j]);
	}
	for (size_t i = 0; c->origins && i < c->origins->n_files; i++)
		free(c->origins->files[i]);
	free(c->origins);
	free(c->devices);
	free(c->sinks);
	free(c->file);
	free(c->adapter);
	free(c->socket);
	free(c->gateway);
	free(c->runtime_dir);
	free(c->state_dir);
	free(c);
	return NULL;
}

int config_load(const char *path, struct buf *problems, struct config **ret)
{
	_cleanup_(reader_freep) struct reader *r = NULL;
	int k = reader_new(problems, &r);

	if (k == 0)
		k = read_file(r, path, streq(path, CONFIG_DEFAULT_FILE));
	if (k == 0)
		k = read_drop_ins(r, path);
	return k < 0 ? k : finish(r, ret);
}

int config_parse(const char *name, const void *data, size_t size, struct buf *problems,
		 struct config **ret)
{
	_cleanup_(reader_freep) struct reader *r = NULL;
	int k = reader_new(problems, &r);

	if (k == 0)
		k = read_text(r, name, data, size);
	return k < 0 ? k : finish(r, ret);
}

const struct config_device *config_device_find(const struct config *c, const char *address)
{
	for (size_t i = 0; i < c->n_devices; i++)
		if (streq(c->devices[i].address, address))
			return &c->devices[i];
	return NULL;
}

const char *config_origin(const struct config *c, const struct config_key *key, size_t index,
			  unsigned *ret_line)
{
	const struct config_origins *o = c->origins;

	for (size_t i = 0; o && i < o->n; i++)
		if (o->list[i].key == index_of(key) && o->list[i].index == index) {
			*ret_line = o->list[i].line;
			return o->files[o->list[i].file];
		}
	return NULL;
}

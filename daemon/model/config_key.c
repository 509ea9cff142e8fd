/*
 * The table of keys and the setters, one a type. A setter reads the whole value before it touches
 * the field, so a mistake leaves what an earlier file had set. What it says never contains the
 * value.
 */
#include "model/config_key.h"

#include "model/value.h"

#include <sys/un.h>
#include <syslog.h>

enum {
	PATH_BYTES_MAX = 1024,
	TEXT_BYTES_MAX = 64,
	INTERFACE_BYTES_MAX = 15, /* IFNAMSIZ less the NUL */
	SOCKET_BYTES_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1,
	NEAR = 3, /* edits between what was written and what was probably meant */
};

static const struct config_word source_words[] = {{"none", CONFIG_SOURCE_NONE},
						  {"simulate", CONFIG_SOURCE_SIMULATE},
						  {"replay", CONFIG_SOURCE_REPLAY},
						  {"bluez", CONFIG_SOURCE_BLUEZ},
						  {"l2cap", CONFIG_SOURCE_L2CAP},
						  {NULL, 0}};
static const struct config_word pace_words[] = {{"real", 0}, {"fast", 1}, {NULL, 0}};
static const struct config_word pair_words[] = {{"auto", CONFIG_PAIR_AUTO},
						{"yes", CONFIG_PAIR_YES},
						{"no", CONFIG_PAIR_NO},
						{NULL, 0}};
static const struct config_word address_words[] = {{"auto", CONFIG_ADDRESS_AUTO},
						   {"public", CONFIG_ADDRESS_PUBLIC},
						   {"random", CONFIG_ADDRESS_RANDOM},
						   {NULL, 0}};
static const struct config_word from_words[] = {{"oldest", CONFIG_FROM_OLDEST},
						{"now", CONFIG_FROM_NOW},
						{NULL, 0}};
static const struct config_word trust_words[] = {{"auto", CLOCK_TRUST_AUTO},
						 {"yes", CLOCK_TRUST_YES},
						 {"no", CLOCK_TRUST_NO},
						 {NULL, 0}};
static const struct config_word bus_words[] = {{"system", 1}, {"none", 0}, {NULL, 0}};
static const struct config_word level_words[] = {{"error", LOG_ERR},	 {"warning", LOG_WARNING},
						 {"notice", LOG_NOTICE}, {"info", LOG_INFO},
						 {"debug", LOG_DEBUG},	 {NULL, 0}};
static const struct config_word sink_type_words[] = {{"http", 0}, {NULL, 0}};

#define IN(s, f)	   .offset = offsetof(struct s, f), .width = sizeof(((struct s *)NULL)->f)
#define GLOBAL(f)	   .scope = CONFIG_SCOPE_CONFIG, IN(config, f)
#define SINK(f)		   .scope = CONFIG_SCOPE_SINK, IN(config_sink, f)
#define DEVICE(f)	   .scope = CONFIG_SCOPE_DEVICE, IN(config_device, f)
#define DURATION(from, to) .type = CONFIG_TYPE_DURATION, .least = (from), .most = (to)
#define SIZE(from, to)	   .type = CONFIG_TYPE_SIZE, .least = (from), .most = (to)
#define WORDS(w)	   .type = CONFIG_TYPE_WORD, .words = (w)

/* clang-format off */
static const struct config_key keys[] = {
	{"daemon", "state_dir", GLOBAL(state_dir), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX},
	{"daemon", "runtime_dir", GLOBAL(runtime_dir), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX},
	{"daemon", "gateway", GLOBAL(gateway), .type = CONFIG_TYPE_NAME, .max = TEXT_BYTES_MAX, .optional = true},
	{"source", "type", GLOBAL(source), WORDS(source_words)},
	{"source", "socket", GLOBAL(socket), .type = CONFIG_TYPE_PATH, .max = SOCKET_BYTES_MAX},
	{"source", "file", GLOBAL(file), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX, .optional = true},
	{"source", "pace", GLOBAL(replay_fast), WORDS(pace_words)},
	{"source", "handles", GLOBAL(handles), .type = CONFIG_TYPE_HANDLES, .optional = true},
	{"source", "auto_enroll", GLOBAL(auto_enroll), .type = CONFIG_TYPE_BOOLEAN},
	{"bluetooth", "adapter", GLOBAL(adapter), .type = CONFIG_TYPE_ADAPTER, .optional = true},
	{"bluetooth", "max_links", GLOBAL(max_links), SIZE("1", "32")},
	{"sync", "durability_window", GLOBAL(durability_window), DURATION("0", "1min")},
	{"sync", "lazy_commit", GLOBAL(lazy_commit), DURATION("0", "1h")},
	{"sync", "linger", GLOBAL(linger), DURATION("0", "1min")},
	{"sync", "immediate_retry_delays", GLOBAL(immediate_retry_delays), .type = CONFIG_TYPE_DURATIONS,
	 .least = "0", .most = "1min"},
	{"sync", "immediate_timeout", GLOBAL(immediate_timeout), DURATION("100ms", "5min")},
	{"sync", "background_timeout", GLOBAL(background_timeout), DURATION("100ms", "1h")},
	{"sync", "background_interval", GLOBAL(background_interval), DURATION("1s", "1d")},
	{"sync", "backoff_min", GLOBAL(backoff_min), DURATION("1ms", "1h")},
	{"sync", "backoff_max", GLOBAL(backoff_max), DURATION("1ms", "1d")},
	{"sync", "probe_interval", GLOBAL(probe_interval), DURATION("100ms", "1d")},
	{"sync", "max_batches", GLOBAL(max_batches), SIZE("1", "1000000")},
	{"sync", "max_size", GLOBAL(max_size), SIZE("256K", "1T")},
	{"sync", "retention", GLOBAL(retention), DURATION("0", "3650d")},
	{"sync", "free_reserve", GLOBAL(free_reserve), SIZE("0", "1T")},
	{"sync", "reconcile_interval", GLOBAL(reconcile_interval), DURATION("1s", "30d")},
	{"sync", "reconcile_window", GLOBAL(reconcile_window), DURATION("1min", "3650d")},
	{"sync", "reconcile_all_after", GLOBAL(reconcile_all_after), DURATION("1s", "3650d")},
	{"sync", "tail_size", GLOBAL(tail_size), SIZE("64K", "256M")},
	{"features", "immediate", GLOBAL(immediate), .type = CONFIG_TYPE_BOOLEAN},
	{"features", "queue", GLOBAL(queue), .type = CONFIG_TYPE_BOOLEAN},
	{"features", "reconcile", GLOBAL(reconcile), .type = CONFIG_TYPE_BOOLEAN},
	{"features", "timers", GLOBAL(timers), .type = CONFIG_TYPE_BOOLEAN},
	{"time", "trust_clock", GLOBAL(trust_clock), WORDS(trust_words)},
	{"time", "clock_wait", GLOBAL(clock_wait), DURATION("0", "1d")},
	{"control", "bus", GLOBAL(system_bus), WORDS(bus_words)},
	{"log", "level", GLOBAL(log_level), WORDS(level_words)},
	{"log", "sync_events", GLOBAL(sync_events), .type = CONFIG_TYPE_BOOLEAN},
	{"log", "summary_interval", GLOBAL(summary_interval), DURATION("1s", "1d")},
	{"sink", "type", .scope = CONFIG_SCOPE_SINK, WORDS(sink_type_words)},
	{"sink", "url", SINK(url), .type = CONFIG_TYPE_URL},
	{"sink", "token_file", SINK(token_file), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX, .optional = true},
	{"sink", "ca_file", SINK(ca_file), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX, .optional = true},
	{"sink", "client_cert", SINK(client_cert), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX, .optional = true},
	{"sink", "client_key", SINK(client_key), .type = CONFIG_TYPE_PATH, .max = PATH_BYTES_MAX, .optional = true},
	{"sink", "proxy", SINK(proxy), .type = CONFIG_TYPE_PROXY, .optional = true},
	{"sink", "interface", SINK(interface), .type = CONFIG_TYPE_NAME, .max = INTERFACE_BYTES_MAX, .optional = true},
	{"sink", "required", SINK(required), .type = CONFIG_TYPE_BOOLEAN},
	{"sink", "from", SINK(from), WORDS(from_words)},
	{"sink", "max_body", SINK(max_body), SIZE("4K", "16M")},
	{"device", "name", DEVICE(name), .type = CONFIG_TYPE_TEXT, .optional = true},
	{"device", "subject", DEVICE(subject), .type = CONFIG_TYPE_TEXT, .optional = true},
	{"device", "streams", DEVICE(kinds), .type = CONFIG_TYPE_STREAMS},
	{"device", "pair", DEVICE(pair), WORDS(pair_words)},
	{"device", "address_type", DEVICE(address_type), WORDS(address_words)},
	{"device", "backfill", DEVICE(backfill), .type = CONFIG_TYPE_BOOLEAN},
};
/* clang-format on */
static_assert(ARRAY_SIZE(keys) <= CONFIG_KEYS_MAX, "callers have room for every key");

typedef int setter(const struct config_key *key, const char *value, void *field, struct buf *why);

static int refuse(struct buf *why, const char *what)
{
	buf_string(why, what);
	return CONFIG_E_BAD;
}

static int set_string(char **field, const char *value)
{
	char *copy = NULL;

	if (*value) {
		copy = strdup(value);
		if (!copy)
			return -ENOMEM;
	}
	free(*field);
	*field = copy;
	return 0;
}

/* The limits of the table are in the owner's notation, so that they can be shown as they are. */
static int read_duration(const struct config_key *key, const char *value, usec_t *ret,
			 struct buf *why)
{
	usec_t least, most, v;

	if (!value_duration(value, &v))
		return refuse(why, "is not a duration; write for example 250ms, 10s, 2min or 7d");
	if (!value_duration(key->least, &least) || !value_duration(key->most, &most))
		assert(!"limits in the table are durations");
	if (v < least || v > most) {
		buf_printf(why, "has to be from %s to %s", key->least, key->most);
		return CONFIG_E_BAD;
	}
	*ret = v;
	return 0;
}

static int set_duration(const struct config_key *key, const char *value, void *field,
			struct buf *why)
{
	return read_duration(key, value, field, why);
}

/* A list, with its length in the field behind it. */
static int set_durations(const struct config_key *key, const char *value, void *field,
			 struct buf *why)
{
	_cleanup_(freep) char *copy = strdup(value);
	usec_t list[CONFIG_MAX_RETRIES] = {0};
	struct config *c = (void *)((char *)field - key->offset);
	char *save = NULL;
	size_t n = 0;

	if (!copy)
		return -ENOMEM;
	for (char *s = strtok_r(copy, " ,\t", &save); s; s = strtok_r(NULL, " ,\t", &save)) {
		if (n == CONFIG_MAX_RETRIES) {
			buf_printf(why, "may have at most %d durations", CONFIG_MAX_RETRIES);
			return CONFIG_E_BAD;
		}
		int r = read_duration(key, s, &list[n], why);

		if (r != 0)
			return r;
		if (n > 0 && list[n] < list[n - 1])
			return refuse(why, "has to rise; write for example 0 1 3");
		n++;
	}
	if (n == 0)
		return refuse(why, "needs at least one duration; write for example 0 1 3");
	memcpy(field, list, sizeof(list));
	c->n_immediate_retry_delays = n;
	return 0;
}

static int set_size(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	uint64_t least, most, v;

	if (!value_size(value, &v))
		return refuse(why, "is not a number or size; write for example 10000, 256K, 4M or "
				   "2G");
	if (!value_size(key->least, &least) || !value_size(key->most, &most))
		assert(!"limits in the table are sizes");
	if (v < least || v > most) {
		buf_printf(why, "has to be from %s to %s", key->least, key->most);
		return CONFIG_E_BAD;
	}
	if (key->width == sizeof(uint64_t))
		*(uint64_t *)field = v;
	else
		*(size_t *)field = (size_t)v;
	return 0;
}

static int set_boolean(const struct config_key *key, const char *value, void *field,
		       struct buf *why)
{
	if (!value_boolean(value, field))
		return refuse(why, "is a switch; write yes or no");
	return 0;
}

static int set_word(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	for (const struct config_word *w = key->words; w->text; w++) {
		if (!streq(value, w->text))
			continue;
		if (key->width == sizeof(bool))
			*(bool *)field = w->value;
		else if (key->width > 0)
			*(int *)field = w->value;
		return 0;
	}
	buf_string(why, "knows only");
	for (const struct config_word *w = key->words; w->text; w++)
		buf_printf(why, "%s %s", w == key->words ? "" : ",", w->text);
	return CONFIG_E_BAD;
}

static int set_path(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	char **path = field;
	size_t n = strlen(value);

	if (n > key->max) {
		buf_printf(why, "may have at most %zu bytes", key->max);
		return CONFIG_E_BAD;
	}
	if (n > 0 && value[0] != '/')
		return refuse(why,
			      "has to be an absolute path, one that begins with '/'; the content "
			      "itself belongs into a file");
	while (n > 1 && value[n - 1] == '/')
		n--;
	int r = set_string(path, value);

	if (r == 0 && *path)
		(*path)[n] = '\0';
	return r;
}

static int set_url(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	const char *problem = value_url_problem(value);
	char **url = field;
	int r;

	if (problem)
		return refuse(why, problem);
	r = set_string(url, value);
	if (r < 0)
		return r;
	for (size_t n = *url ? strlen(*url) : 0; n > 0 && (*url)[n - 1] == '/'; n--)
		(*url)[n - 1] = '\0';
	return 0;
}

static int set_proxy(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	const char *problem = *value ? value_proxy_problem(value) : NULL;

	return problem ? refuse(why, problem) : set_string(field, value);
}

static int set_name(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-";
	size_t n = strlen(value);

	if (n > key->max || strspn(value, good) != n) {
		buf_printf(why, "may have 1 to %zu of the characters A-Z a-z 0-9 . _ -", key->max);
		return CONFIG_E_BAD;
	}
	return set_string(field, value);
}

static int set_text(const struct config_key *key, const char *value, void *field, struct buf *why)
{
	if (strlen(value) > TEXT_BYTES_MAX) {
		buf_printf(why, "may have at most %d bytes", TEXT_BYTES_MAX);
		return CONFIG_E_BAD;
	}
	return set_string(field, value);
}

/* As bluetoothd numbers them, or by the address, which stays the same when the numbers change. */
static int set_adapter(const struct config_key *key, const char *value, void *field,
		       struct buf *why)
{
	char address[DEVICE_ADDRESS_SIZE];
	size_t digits = strncmp(value, "hci", 3) == 0 ? strspn(value + 3, "0123456789") : 0;

	if (value_address(value, address))
		return set_string(field, address);
	if (*value && (digits == 0 || digits > 3 || value[3 + digits]))
		return refuse(why, "names no adapter; write for example hci0, or its address");
	return set_string(field, value);
}

/* The kind of this name; 0: there is none that an owner asks for. */
static unsigned stream_kind(const char *name)
{
	for (unsigned kind = 1; kind < KIND_MAX; kind++)
		if (kind != KIND_ECG_COUNTS && streq(name, kind_name(kind)))
			return kind;
	return 0;
}

static int set_streams(const struct config_key *key, const char *value, void *field,
		       struct buf *why)
{
	_cleanup_(freep) char *copy = strdup(value);
	unsigned kinds = 0;
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *s = strtok_r(copy, " ,\t", &save); s; s = strtok_r(NULL, " ,\t", &save)) {
		unsigned kind = stream_kind(s);

		if (kind == 0)
			return refuse(why, "knows only heart_rate, ecg, oximetry, temperature, "
					   "blood_pressure, acceleration, ppg and ppi, with blanks "
					   "between");
		kinds |= 1U << kind;
	}
	if (kinds == 0)
		return refuse(why, "needs at least one; write for example heart_rate ecg");
	if (kinds & 1U << KIND_ECG)
		kinds |= 1U << KIND_ECG_COUNTS;
	*(unsigned *)field = kinds;
	return 0;
}

/* "0x0010=2a37"; false: not like that. */
static bool read_handle(const char *s, struct config_handle *ret)
{
	char *end;
	unsigned long handle = strtoul(s, &end, 0);
	enum characteristic c;

	if (*s < '0' || *s > '9' || *end != '=' || handle == 0 || handle > UINT16_MAX)
		return false;
	c = characteristic_parse(end + 1);
	*ret = (struct config_handle){(uint16_t)handle, (uint16_t)c};
	return c != CHARACTERISTIC_UNKNOWN;
}

static int set_handles(const struct config_key *key, const char *value, void *field,
		       struct buf *why)
{
	_cleanup_(freep) char *copy = strdup(value);
	struct config_handles handles = {0};
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *s = strtok_r(copy, " ,\t", &save); s; s = strtok_r(NULL, " ,\t", &save)) {
		if (handles.n == CONFIG_MAX_HANDLES) {
			buf_printf(why, "may have at most %d of them", CONFIG_MAX_HANDLES);
			return CONFIG_E_BAD;
		}
		if (!read_handle(s, &handles.list[handles.n++]))
			return refuse(why, "is a list of handles and UUIDs that vitald knows; "
					   "write for example 0x0010=2a37, with blanks between");
	}
	memcpy(field, &handles, sizeof(handles));
	return 0;
}

static setter *const setters[CONFIG_TYPE_MAX_] = {
	[CONFIG_TYPE_DURATION] = set_duration, [CONFIG_TYPE_DURATIONS] = set_durations,
	[CONFIG_TYPE_SIZE] = set_size,	       [CONFIG_TYPE_BOOLEAN] = set_boolean,
	[CONFIG_TYPE_WORD] = set_word,	       [CONFIG_TYPE_PATH] = set_path,
	[CONFIG_TYPE_URL] = set_url,	       [CONFIG_TYPE_PROXY] = set_proxy,
	[CONFIG_TYPE_NAME] = set_name,	       [CONFIG_TYPE_TEXT] = set_text,
	[CONFIG_TYPE_STREAMS] = set_streams,   [CONFIG_TYPE_HANDLES] = set_handles,
	[CONFIG_TYPE_ADAPTER] = set_adapter,
};

/* Levenshtein's distance; both are at most INI_KEY_MAX bytes, longer ones are never near. */
static size_t distance(const char *a, const char *b)
{
	size_t row[33], n = strlen(a), m = strlen(b);

	if (n > 32 || m > 32)
		return SIZE_MAX;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t above = row[j];
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			row[j] = MIN(MIN(above, row[j - 1]) + 1, change);
			diagonal = above;
		}
	}
	return row[m];
}

const struct config_key *config_keys(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(keys);
	return keys;
}

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (streq(keys[i].section, section) && streq(keys[i].name, name))
			return &keys[i];
	return NULL;
}

const struct config_key *config_key_near(const char *section, const char *name)
{
	const struct config_key *near = NULL;
	size_t best = NEAR + 1;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t d = distance(keys[i].name, name);

		if (streq(keys[i].section, section) && d < best) {
			best = d;
			near = &keys[i];
		}
	}
	return near;
}

int config_key_set(const struct config_key *key, const char *value, void *scope, struct buf *why)
{
	if (value[0] == '"' || value[0] == '\'')
		return refuse(why, "has to be written without quotes");
	if (*value == '\0' && !key->optional)
		return refuse(why, "has no value; write one behind '=', or delete the line for the "
				   "default");
	return setters[key->type](key, value, (char *)scope + key->offset, why);
}

/*
 * How durations, sizes, switches, addresses and URLs are written in the configuration. Strict: a
 * unit that is not known, a sign, a fraction or anything after the value is refused, because "1O s"
 * read as 1 would be a promise nobody made. Numbers cannot overflow: they are checked before they
 * are multiplied.
 */
#include "model/value.h"

#include <arpa/inet.h>
#include <strings.h>

#define DAY_USEC     (UINT64_C(86400) * USEC_PER_SEC)
#define DURATION_MAX (UINT64_C(36525) * DAY_USEC)

struct unit {
	const char *name;
	uint64_t factor;
};

/* Digits, then perhaps white space, then one of `units` (up to the one named NULL). */
static bool number_with_unit(const char *s, const struct unit *units, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (n > (UINT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (p == s)
		return false;
	while (*p == ' ')
		p++;
	for (; units->name; units++) {
		if (!streq(p, units->name))
			continue;
		if (n > max / units->factor)
			return false;
		*ret = n * units->factor;
		return true;
	}
	return false;
}

bool value_duration(const char *s, usec_t *ret)
{
	static const struct unit units[] = {{"", USEC_PER_SEC},
					    {"ms", USEC_PER_MSEC},
					    {"s", USEC_PER_SEC},
					    {"min", 60 * USEC_PER_SEC},
					    {"h", 3600 * USEC_PER_SEC},
					    {"d", DAY_USEC},
					    {NULL, 0}};

	return number_with_unit(s, units, DURATION_MAX, ret);
}

bool value_size(const char *s, uint64_t *ret)
{
	static const struct unit units[] = {{"", 1},
					    {"K", UINT64_C(1) << 10},
					    {"M", UINT64_C(1) << 20},
					    {"G", UINT64_C(1) << 30},
					    {"T", UINT64_C(1) << 40},
					    {NULL, 0}};

	return number_with_unit(s, units, UINT64_MAX, ret);
}

bool value_boolean(const char *s, bool *ret)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(s, words[i]) == 0) {
			*ret = i % 2;
			return true;
		}
	}
	return false;
}

bool value_address(const char *s, char ret[static DEVICE_ADDRESS_SIZE])
{
	char address[DEVICE_ADDRESS_SIZE] = "";

	if (strlen(s) != DEVICE_ADDRESS_SIZE - 1)
		return false;
	for (size_t i = 0; i < DEVICE_ADDRESS_SIZE - 1; i++) {
		char c = s[i] >= 'A' && s[i] <= 'F' ? (char)(s[i] - 'A' + 'a') : s[i];

		if (!strchr(i % 3 == 2 ? ":" : "0123456789abcdef", c))
			return false;
		address[i] = c;
	}
	memcpy(ret, address, sizeof(address));
	return true;
}

/*
 * Copies the host (without brackets) of "host[:port][/path]"; `ret_rest` is what follows the port.
 */
static bool split_host(const char *s, char *ret_host, size_t size, const char **ret_rest)
{
	bool bracket = *s == '[';
	const char *start = s + bracket;
	size_t n = strspn(start, bracket ? "0123456789abcdefABCDEF:."
					 : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789.-");
	const char *rest = start + n;
	unsigned long port = 0;

	if (n == 0 || n >= size || (bracket && *rest++ != ']'))
		return false;
	if (*rest == ':') {
		size_t digits = strspn(rest + 1, "0123456789");

		port = digits > 0 && digits <= 5 ? strtoul(rest + 1, NULL, 10) : 0;
		if (port == 0 || port > 65535)
			return false;
		rest += 1 + digits;
	}
	memcpy(ret_host, start, n);
	ret_host[n] = '\0';
	*ret_rest = rest;
	return true;
}

/*
 * By the letter, not by the resolver: a name that points to 127.0.0.1 today may not do so tomorrow.
 */
static bool is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool starts(const char *s, const char *prefix)
{
	return strncasecmp(s, prefix, strlen(prefix)) == 0;
}

const char *value_url_problem(const char *s)
{
	bool https = starts(s, "https://");
	const char *rest;
	char host[256];

	if (!https && !starts(s, "http://"))
		return "has to start with https://";
	s = strchr(s, '/') + 2;
	if (memchr(s, '@', strcspn(s, "/?#")))
		return "may not contain a user name or password; write the token into a file and "
		       "name "
		       "it with token_file";
	if (!split_host(s, host, sizeof(host), &rest))
		return "has no host that can be read; write https://host, https://host:port or "
		       "https://host/path";
	if (!https && !is_loopback(host))
		return "may use http:// only for this machine itself (127.0.0.1, [::1], "
		       "localhost); "
		       "write https://";
	if ((*rest && *rest != '/') || strpbrk(rest, "?# \t\"\\"))
		return "may have a path behind the host, but no '?', no '#' and no blanks";
	return NULL;
}

bool value_url_is_here(const char *s)
{
	const char *rest, *start = strstr(s, "://");
	char host[256];

	return start && split_host(start + 3, host, sizeof(host), &rest) && is_loopback(host);
}

const char *value_proxy_problem(const char *s)
{
	const char *rest;
	char host[256];

	if (!starts(s, "http://") && !starts(s, "https://") && !starts(s, "socks5h://"))
		return "has to start with http://, https:// or socks5h://";
	if (!split_host(strchr(s, '/') + 2, host, sizeof(host), &rest) || *rest)
		return "is not scheme://host:port; write for example http://proxy.example:3128, "
		       "without user name, password or path";
	return NULL;
}

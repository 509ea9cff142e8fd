/*
 * A cursor says what a server has confirmed, and a server is known by its address. If only the `url` of
 * a [sink] changes, nobody but its owner can tell whether the server moved, with its data, or whether
 * it is another one that would miss everything that lies below the cursor. A store that comes from
 * before addresses were noted takes the first one it is told.
 */
#include "store/address.h"

#include "store/state.h"

#include <ctype.h>
#include <stdio.h>

static void put_lower(char ret[static ADDRESS_SIZE], const char *s, size_t n)
{
	size_t at = strlen(ret);

	for (size_t i = 0; i < n && at + 1 < ADDRESS_SIZE; i++)
		ret[at++] = (char)tolower((unsigned char)s[i]);
	ret[at] = '\0';
}

/* Does the authority name a port? An IPv6 address has colons of its own, in brackets. */
static bool has_port(const char *host, size_t n)
{
	for (size_t i = n; i-- > 0 && host[i] != ']';)
		if (host[i] == ':')
			return true;
	return false;
}

void address_normal(const char *url, char ret[static ADDRESS_SIZE])
{
	const char *host = strstr(url, "://"), *at;
	bool secure = strncasecmp(url, "https", 5) == 0;
	size_t n, path;

	ret[0] = '\0';
	host = host ? host + 3 : url;
	n = strcspn(host, "/?#");
	for (at = host + n; at > host; at--)
		if (at[-1] == '@')
			break;
	n -= (size_t)(at - host);
	host = at;
	put_lower(ret, secure ? "https://" : "http://", secure ? 8 : 7);
	put_lower(ret, host, n);
	if (!has_port(host, n))
		put_lower(ret, secure ? ":443" : ":80", secure ? 4 : 3);
	path = strcspn(host + n, "?#");
	while (path > 0 && host[n + path - 1] == '/')
		path--;
	n = MIN(path, ADDRESS_SIZE - 1 - strlen(ret));
	strncat(ret, host + strcspn(host, "/?#"), n);
}

static int write_address(struct store *s, struct sink_entry *k, const char *address)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = s->owner_fd < 0 || /* who only looks keeps it in mind */
		  (sqlite3_prepare_v2(s->db, "UPDATE sink SET url = ?2 WHERE number = ?1", -1,
				      &stmt, NULL) == SQLITE_OK &&
		   sqlite3_bind_int64(stmt, 1, k->info.number) == SQLITE_OK &&
		   sqlite3_bind_text(stmt, 2, address, -1, SQLITE_STATIC) == SQLITE_OK &&
		   sqlite3_step(stmt) == SQLITE_DONE);
	int r = ok ? 0 : store_fail_sql(s, "sink");

	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	if (r == 0)
		memcpy(k->address, address, ADDRESS_SIZE);
	return r;
}

int store_sink_address(struct store *s, uint32_t sink, const char *url,
		       char ret_known[static ADDRESS_SIZE])
{
	struct sink_entry *k = sink_of(s, sink);
	char address[ADDRESS_SIZE] = "";

	address_normal(url, address);
	memcpy(ret_known, k->address[0] ? k->address : address, ADDRESS_SIZE);
	if (!k->address[0])
		return write_address(s, k, address);
	return streq(k->address, address) ? 0 : STORE_E_OTHER;
}

int store_sink_moved(struct store *s, uint32_t sink, const char *url)
{
	char address[ADDRESS_SIZE] = "";

	address_normal(url, address);
	return write_address(s, sink_of(s, sink), address);
}

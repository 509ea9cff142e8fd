/*
 * Where a sink's records were confirmed. Another address under the same name may be another server,
 * which has nothing of what this one has; so it waits for its owner to say that it is the same.
 */
#pragma once

#include "store/store.h"

enum { ADDRESS_SIZE = 512 };

/*
 * As compared and kept: scheme, host, port and path; in small letters what has no case, the port always
 * there, no slash at the end, nobody's password.
 */
void address_normal(const char *url, char ret[static ADDRESS_SIZE]);
/* 0: the same, or the first one, which is noted. STORE_E_OTHER: `ret_known` is another. */
int store_sink_address(struct store *s, uint32_t sink, const char *url,
		       char ret_known[static ADDRESS_SIZE]);
/* It is the same server at another address. */
int store_sink_moved(struct store *s, uint32_t sink, const char *url);
